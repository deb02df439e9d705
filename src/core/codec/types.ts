/** A type as `format_type` writes it, taken apart. */
export interface ParsedType {
  /** Without modifier and brackets: `numeric`, `timestamp with time zone`. */
  readonly name: string
  /** Length, precision, or digits of a second. */
  readonly size: number | undefined
  readonly scale: number | undefined
  readonly array: boolean
}

export function parseType(type: string): ParsedType {
  const found = /^([^"(]*?)(?:\((-?\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?((?:\[\])*)$/.exec(type)
  // The name of a type of one's own may hold anything.
  if (found === null) {
    return { name: type, size: undefined, scale: undefined, array: type.endsWith('[]') }
  }
  const [, base = '', size, scale, zone = '', brackets] = found
  return {
    name: base + zone,
    size: size === undefined ? undefined : Number(size),
    scale: scale === undefined ? undefined : Number(scale),
    array: brackets !== '',
  }
}

/** Digits of a second that a type for times keeps. */
export function secondDigits(type: ParsedType): number {
  return type.size ?? 6
}

export const DATE = 'date'
export const TIME = 'time without time zone'
export const TIMESTAMP = 'timestamp without time zone'
export const TIMESTAMPTZ = 'timestamp with time zone'

/** Zones reach SQL as literals on both engines: only what names of zones are made of. UTC is the default. */
export function isZoneName(zone: string): boolean {
  return /^[A-Za-z0-9_+/-]{1,64}$/.test(zone)
}
