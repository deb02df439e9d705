/** Values of options that are numbers: what is none is a usage failure (exit 2) that names the option. */
import { Failure } from '../core/errors.ts'

export interface NumberOption {
  /** As it is typed: `--wait`. */
  readonly name: string
  readonly unit: string
  readonly min: number
  readonly max: number
  /** No fractions. */
  readonly whole?: boolean
}

/** Throws a Failure `usage`. */
export function numberOption({ name, unit, min, max, whole = false }: NumberOption, text: string): number {
  const form = whole ? /^\d{1,12}$/ : /^\d{1,12}(\.\d+)?$/
  const number = form.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw new Failure({
    code: 'usage',
    message: `${name} "${text}" is not a ${whole ? 'whole ' : ''}number of ${unit} from ${min} to ${max}`,
    remedy: `Give a number, such as ${name} ${Math.min(60, max)}.`,
    exit: 2,
  })
}
