// Decimal strings as whole numbers of their smallest part: money is never a float. Rounded half up, as the server does.

const PATTERN = /^(\d{1,12})(?:\.(\d*))?$/;

/** The plain decimal `text` times 10^places as a BigInt. Throws for anything else: what people type is read before. */
export function scaled(text, places) {
  const match = PATTERN.exec(text);
  const fraction = match?.[2] ?? "";
  if (!match || fraction.length > places) throw new RangeError(`"${text}" is no decimal of ${places} places`);
  return BigInt(match[1] + fraction.padEnd(places, "0"));
}

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
  return plain(scaled(percent, 3), 5);
}
