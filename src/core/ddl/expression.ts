import { Reader, type Token, Unreadable } from './tokens.ts'

/** An expression of SQLite, with its own precedence of operators. */
export type Expression =
  | { readonly kind: 'null' }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'blob'; readonly hex: string }
  /** The current date, time or both. */
  | { readonly kind: 'now'; readonly what: 'date' | 'time' | 'timestamp' }
  /** `quote`: how it is written; a name in double quotes that is no column's is a string. */
  | { readonly kind: 'column'; readonly name: string; readonly quote: '' | '"' | '`' | '[' }
  | { readonly kind: 'unary'; readonly op: '-' | '+' | '~' | 'NOT'; readonly operand: Expression }
  | {
      readonly kind: 'binary'
      readonly op: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    }
  | { readonly kind: 'collate'; readonly operand: Expression; readonly collation: string }
  | {
      readonly kind: 'like'
      readonly op: 'LIKE' | 'GLOB'
      readonly not: boolean
      readonly operand: Expression
      readonly pattern: Expression
      readonly escape: Expression | undefined
    }
  | {
      readonly kind: 'between'
      readonly not: boolean
      readonly operand: Expression
      readonly low: Expression
      readonly high: Expression
    }
  | {
      readonly kind: 'in'
      readonly not: boolean
      readonly operand: Expression
      readonly list: readonly Expression[]
    }
  | { readonly kind: 'isnull'; readonly not: boolean; readonly operand: Expression }
  | {
      readonly kind: 'case'
      readonly base: Expression | undefined
      readonly branches: readonly { readonly when: Expression; readonly value: Expression }[]
      readonly otherwise: Expression | undefined
    }
  | { readonly kind: 'cast'; readonly operand: Expression; readonly type: string }
  /** `name` in lower case. */
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }

export type BinaryOperator =
  | 'OR'
  | 'AND'
  | '='
  | '<>'
  | 'IS'
  | 'IS NOT'
  | '<'
  | '<='
  | '>'
  | '>='
  | '&'
  | '|'
  | '<<'
  | '>>'
  | '+'
  | '-'
  | '*'
  | '/'
  | '%'
  | '||'
  | '->'
  | '->>'

/** Expressions that are longer or nested deeper are not looked into. */
const MAX_LENGTH = 20_000
const MAX_DEPTH = 100

/** Reads one expression. Throws `Unreadable` for anything else: subqueries, row values, windows, RAISE. */
export function parseExpression(sql: string): Expression {
  if (sql.length > MAX_LENGTH) throw new Unreadable('it is too long')
  const reader = new Reader(sql)
  const parser = new Parser(reader)
  const expression = parser.or()
  if (!reader.done) throw new Unreadable(`${reader.peek()?.text} is not expected there`)
  return expression
}

const LEVELS: readonly (readonly BinaryOperator[])[] = [
  ['<', '<=', '>', '>='],
  ['&', '|', '<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
  ['||', '->', '->>'],
]

class Parser {
  readonly #reader: Reader
  #depth = 0

  constructor(reader: Reader) {
    this.#reader = reader
  }

  or(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new Unreadable('it is nested too deep')
    let left = this.#and()
    while (this.#reader.takeWords('OR')) left = { kind: 'binary', op: 'OR', left, right: this.#and() }
    this.#depth--
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.#reader.takeWords('AND')) left = { kind: 'binary', op: 'AND', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    let negations = 0
    while (this.#reader.takeWords('NOT')) negations++
    let operand = this.#equality()
    for (; negations > 0; negations--) operand = { kind: 'unary', op: 'NOT', operand }
    return operand
  }

  /** =, IS, LIKE, BETWEEN, IN and their kind: one level, from left to right. */
  #equality(): Expression {
    let left = this.#binary(0)
    for (;;) {
      const next = this.#comparison(left)
      if (next === undefined) return left
      left = next
    }
  }

  #comparison(left: Expression): Expression | undefined {
    const reader = this.#reader
    const right = (): Expression => this.#binary(0)
    const binary = (op: BinaryOperator): Expression => ({ kind: 'binary', op, left, right: right() })
    if (reader.takeSymbol('=') || reader.takeSymbol('==')) return binary('=')
    if (reader.takeSymbol('<>') || reader.takeSymbol('!=')) return binary('<>')
    if (reader.takeWords('IS', 'NOT', 'DISTINCT', 'FROM')) return binary('IS')
    if (reader.takeWords('IS', 'DISTINCT', 'FROM') || reader.takeWords('IS', 'NOT')) return binary('IS NOT')
    if (reader.takeWords('IS')) return binary('IS')
    if (reader.takeWords('ISNULL')) return { kind: 'isnull', not: false, operand: left }
    if (reader.takeWords('NOTNULL') || reader.takeWords('NOT', 'NULL'))
      return { kind: 'isnull', not: true, operand: left }
    const not = reader.atWords('NOT')
    const here = (word: string): boolean => reader.takeWords(...(not ? ['NOT', word] : [word]))
    if (here('BETWEEN')) {
      const low = right()
      if (!reader.takeWords('AND')) throw new Unreadable('BETWEEN without AND')
      return { kind: 'between', not, operand: left, low, high: right() }
    }
    if (here('IN')) {
      reader.expectSymbol('(')
      const list = reader.atSymbol(')') ? [] : this.#list()
      reader.expectSymbol(')')
      return { kind: 'in', not, operand: left, list }
    }
    for (const op of ['LIKE', 'GLOB'] as const) {
      if (!here(op)) continue
      const pattern = right()
      const sign = reader.takeWords('ESCAPE') ? right() : undefined
      return { kind: 'like', op, not, operand: left, pattern, escape: sign }
    }
    return undefined
  }

  #binary(level: number): Expression {
    const operators = LEVELS[level]
    if (operators === undefined) return this.#collated()
    let left = this.#binary(level + 1)
    for (;;) {
      const op = operators.find((symbol) => this.#reader.takeSymbol(symbol))
      if (op === undefined) return left
      left = { kind: 'binary', op, left, right: this.#binary(level + 1) }
    }
  }

  #collated(): Expression {
    let operand = this.#unary()
    while (this.#reader.takeWords('COLLATE'))
      operand = { kind: 'collate', operand, collation: this.#reader.takeName() }
    return operand
  }

  #unary(): Expression {
    const signs: ('-' | '+' | '~')[] = []
    for (;;) {
      const op = (['-', '+', '~'] as const).find((symbol) => this.#reader.takeSymbol(symbol))
      if (op === undefined) break
      signs.push(op)
    }
    let operand = this.#primary()
    for (const op of signs.reverse()) operand = { kind: 'unary', op, operand }
    return operand
  }

  #primary(): Expression {
    const reader = this.#reader
    const token = reader.next()
    switch (token.kind) {
      case 'number':
        return { kind: 'number', text: token.text.replaceAll('_', '') }
      case 'string':
        return { kind: 'string', text: token.text }
      case 'blob':
        return { kind: 'blob', hex: token.text }
      case 'symbol': {
        if (token.text !== '(') throw new Unreadable(`${token.text} is not expected there`)
        const inner = this.or()
        reader.expectSymbol(')')
        return inner
      }
      default:
        return this.#named(token)
    }
  }

  #named(token: Token): Expression {
    const reader = this.#reader
    if (token.kind === 'word') {
      if (reader.atSymbol('(') && token.text.toUpperCase() !== 'CAST') return this.#call(token.text)
      const keyword = this.#keyword(token.text.toUpperCase())
      if (keyword !== undefined) return keyword
    }
    let last = token
    while (reader.takeSymbol('.')) last = reader.next()
    if (last.kind !== 'word' && last.kind !== 'name') throw new Unreadable(`no name at ${last.start}`)
    const quote = last.kind === 'word' ? '' : (reader.sql[last.start] as '"' | '`' | '[')
    return { kind: 'column', name: last.text, quote }
  }

  #keyword(word: string): Expression | undefined {
    switch (word) {
      case 'NULL':
        return { kind: 'null' }
      case 'CURRENT_DATE':
        return { kind: 'now', what: 'date' }
      case 'CURRENT_TIME':
        return { kind: 'now', what: 'time' }
      case 'CURRENT_TIMESTAMP':
        return { kind: 'now', what: 'timestamp' }
      case 'CASE':
        return this.#case()
      case 'CAST':
        return this.#cast()
      case 'SELECT':
      case 'EXISTS':
      case 'RAISE':
      case 'NOT':
        throw new Unreadable(`${word} is not expected there`)
      default:
        return undefined
    }
  }

  #case(): Expression {
    const reader = this.#reader
    const base = reader.atWords('WHEN') ? undefined : this.or()
    const branches: { when: Expression; value: Expression }[] = []
    while (reader.takeWords('WHEN')) {
      const when = this.or()
      if (!reader.takeWords('THEN')) throw new Unreadable('WHEN without THEN')
      branches.push({ when, value: this.or() })
    }
    const otherwise = reader.takeWords('ELSE') ? this.or() : undefined
    if (branches.length === 0 || !reader.takeWords('END')) throw new Unreadable('CASE without END')
    return { kind: 'case', base, branches, otherwise }
  }

  #cast(): Expression {
    const reader = this.#reader
    reader.expectSymbol('(')
    const operand = this.or()
    if (!reader.takeWords('AS')) throw new Unreadable('CAST without AS')
    const type: string[] = []
    while (!reader.atSymbol(')')) {
      if (reader.atSymbol('(')) type.push(`(${reader.takeGroup()})`)
      else type.push(reader.takeName())
    }
    reader.expectSymbol(')')
    return { kind: 'cast', operand, type: type.join(' ') }
  }

  #call(name: string): Expression {
    const reader = this.#reader
    reader.expectSymbol('(')
    const args = reader.atSymbol(')') ? [] : this.#list()
    reader.expectSymbol(')')
    return { kind: 'call', name: name.toLowerCase(), args }
  }

  #list(): Expression[] {
    const list = [this.or()]
    while (this.#reader.takeSymbol(',')) list.push(this.or())
    return list
  }
}
