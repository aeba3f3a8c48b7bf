// What an edited estimate adds up to, cent for cent as the server will: store/estimates/money.py is the same arithmetic.

import { plain, rounded, scaled } from "../shared/decimal.js";

const CENTS = 2;
const RATE = 5;

/** A line's amount in cents as a BigInt; null without a price, or while a number of it cannot be read. */
export function amountOf({ quantity, unit_price: price }) {
  if (!quantity || !price) return null;
  return rounded(scaled(quantity, 3) * scaled(price, CENTS), 3);
}

/** The sums of the lines that `option` holds, as strings; rates are shares, `discount` is {rate} or {amount}. */
export function totalsOf(lines, { tax_rate: taxRate, markup_rate: markupRate, discount }, option) {
  const counted = lines.filter((line) => line.option === "" || line.option === option);
  const amounts = counted.map(amountOf);
  const subtotal = amounts.reduce((sum, amount) => sum + (amount ?? 0n), 0n);
  const markup = share(subtotal, markupRate);
  const off = discountOf(subtotal + markup, discount);
  const left = subtotal + markup - off;
  const tax = share(left, taxRate);
  const sums = { subtotal, markup, discount: off, tax, total: left + tax };
  return {
    ...Object.fromEntries(Object.entries(sums).map(([name, cents]) => [name, plain(cents, CENTS)])),
    unpriced: amounts.filter((amount) => amount === null).length,
  };
}

const share = (cents, rate) => rounded(cents * scaled(rate, RATE), RATE);

function discountOf(of, { rate, amount }) {
  if (rate !== undefined) return share(of, rate);
  const fixed = scaled(amount, CENTS);
  return fixed < of ? fixed : of;
}
