// Number input: an amount of money, a quantity or a percentage as a person types it. Either the text has one exact value,
// or it is refused with a sentence. store/estimates/number_input.py reads the same on the server; one table holds both.

const WHOLE = "(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)"; // "0,500" is half a unit to some and 500 to others
const DECIMAL = new RegExp(`^(${WHOLE}?)(?:\\.([0-9]*))?$`);
const FRACTION = new RegExp(`^(?:(${WHOLE})(?: |-| - ))?([0-9]+) ?/ ?([1-9][0-9]*)$`);
const VULGAR = {
  "½": "1/2", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅓": "1/3", "⅔": "2/3",
  "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅒": "1/10",
};
const LONGEST = 64;

/** What each kind of field takes. `most` is in units of the last of `places` decimals. */
const KINDS = {
  money: { example: "an amount such as 285 or 1,250.50", places: 2, most: 999_999_999_999n, signLeads: true },
  quantity: { example: "a quantity above 0, such as 3, 2.5 or 2 1/2", places: 3, most: 999_999_999_999n, least: 1n },
  tax: { example: "a percentage such as 8.25", places: 3, most: 99_999n, sign: "%" },
  markup: { example: "a percentage such as 15", places: 3, most: 1_000_000n, sign: "%" },
  discount: { example: "a percentage such as 10", places: 3, most: 100_000n, sign: "%" },
};

/** Read `text` as `kind`: {value} as a plain decimal string, or {error} as a sentence. `symbol` is the currency's. */
export function readNumber(text, kind, symbol = "$") {
  const { example, places, most, least = 0n, sign = "", signLeads = false } = KINDS[kind];
  const exact = text.length > LONGEST ? null : exactly(unsigned(text, kind === "money" ? symbol : sign, signLeads));
  if (exact === null) return { error: `Enter ${example}.` };
  // "1.500" is 1,500 where commas and points change places: a third decimal of a price is refused, though it is 0.
  if (new RegExp(`\\.[0-9]{${places + 1}}`).test(text)) return { error: `Enter at most ${places} decimals.` };
  const [above, below] = [exact[0] * 10n ** BigInt(places), exact[1]];
  if (above < least) return { error: `Enter ${example}.` };
  if (above > most * below) return { error: `Enter at most ${grouped(most, places)}.` };
  if (above % below !== 0n) return { error: `Enter at most ${places} decimals.` };
  return { value: written(above / below, places, kind) };
}

/** The currency's own symbol, "$" for USD and "€" for EUR. */
export function symbolOf(currency) {
  const parts = new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "narrowSymbol" }).formatToParts(0);
  return parts.find(({ type }) => type === "currency").value;
}

function unsigned(text, sign, leads) {
  const plain = text.replace(/[ \t\u00a0\u202f]+/g, " ").replace(/^ | $/g, "");
  if (sign && leads && plain.startsWith(sign)) return plain.slice(sign.length).replace(/^ /, "");
  return sign && plain.endsWith(sign) ? plain.slice(0, -sign.length).replace(/ $/, "") : plain;
}

/** [numerator, denominator] of digits, thousands' commas, one decimal point or one fraction; null for anything else. */
function exactly(typed) {
  const text = spelled(typed).replaceAll("\u2044", "/");
  const decimal = DECIMAL.exec(text);
  if (decimal && (decimal[1] || decimal[2])) {
    const part = decimal[2] ?? "";
    return [BigInt(digits(decimal[1]) + part), 10n ** BigInt(part.length)];
  }
  const mixed = FRACTION.exec(text);
  if (!mixed) return null;
  const [above, below] = [BigInt(mixed[2]), BigInt(mixed[3])];
  if (mixed[1] === undefined) return [above, below];
  // "2 3/2" is a slip of the finger as often as three and a half.
  return above > 0n && above < below ? [BigInt(digits(mixed[1])) * below + above, below] : null;
}

function spelled(text) {
  const fraction = VULGAR[text.slice(-1)];
  if (!fraction || text.includes("/")) return text;
  return `${text.slice(0, -1).replace(/ $/, "")} ${fraction}`.replace(/^ /, "");
}

const digits = (whole) => whole.replaceAll(",", "") || "0";

function decimal(value, places) {
  const text = value.toString().padStart(places + 1, "0");
  return `${text.slice(0, -places)}.${text.slice(-places)}`;
}

const trimmed = (text) => text.replace(/\.?0+$/, "");
const written = (value, places, kind) => (kind === "money" ? decimal(value, places) : trimmed(decimal(value, places)));

function grouped(value, places) {
  const [whole, part] = trimmed(decimal(value, places)).split(".");
  return whole.replace(/\B(?=([0-9]{3})+$)/g, ",") + (part ? `.${part}` : "");
}
