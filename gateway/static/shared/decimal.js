// Decimal strings as whole numbers of their smallest part: money is never a float. Rounded half up, as the server does.

const PATTERN = /^(\d{1,12})(?:\.(\d*))?$/;

/** `text` times 10^places as a BigInt; null when it is no number, is negative or has more places. "1,200.5" is one. */
export function scaled(text, places) {
  const match = PATTERN.exec(clean(text));
  const fraction = match?.[2] ?? "";
  if (!match || fraction.length > places) return null;
  return BigInt(match[1] + fraction.padEnd(places, "0"));
}

/** Without the thousands' commas that people type and the server does not know. */
export const clean = (text) => text.trim().replace(/(?<=\d),(?=\d{3})/g, "");

/** The other way: 1250n with two places is "12.50". */
export function plain(value, places) {
  const digits = value.toString().padStart(places + 1, "0");
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** `value` / 10^places to a whole number, half up. */
export function rounded(value, places) {
  const whole = 10n ** BigInt(places);
  return (value + whole / 2n) / whole;
}

/** "0.0825" as "8.25", and back. */
export function toPercent(share) {
  return plain(scaled(share, 5), 3).replace(/\.?0+$/, "");
}

export function toShare(percent) {
  const value = scaled(percent, 3);
  return value === null ? null : plain(value, 5);
}
