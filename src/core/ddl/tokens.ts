/** SQLite's SQL as tokens: what CREATE TABLE, CREATE INDEX and their expressions are made of. */

export interface Token {
  /** word: a keyword or a bare name. name: quoted by "…", `…` or […]. blob: its hexadecimal digits. */
  readonly kind: 'word' | 'name' | 'string' | 'blob' | 'number' | 'symbol'
  /** Without quotes; a word and a number as they stand. */
  readonly text: string
  readonly start: number
  readonly end: number
}

/** Text that is no SQL as SQLite would have stored it. */
export class Unreadable extends Error {}

const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y
const NUMBER = /0[xX][\da-fA-F_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?/y
const SYMBOL = /->>|->|\|\||<<|>>|<=|>=|<>|!=|==|[-+*/%&|~<>=(),.;]/y
const CLOSING: Readonly<Record<string, string>> = { "'": "'", '"': '"', '`': '`', '[': ']' }

export function tokenize(sql: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(sql)?.[0]
  }
  while (at < sql.length) {
    const char = sql[at] as string
    const start = at
    if (/\s/.test(char)) at++
    else if (sql.startsWith('--', at)) at = after(sql, '\n', at)
    else if (sql.startsWith('/*', at)) at = after(sql, '*/', at + 2)
    else if ((char === 'x' || char === 'X') && sql[at + 1] === "'") {
      const text = /^[xX]'((?:[\da-fA-F]{2})*)'/.exec(sql.slice(at))?.[1]
      if (text === undefined) throw new Unreadable(`a BLOB literal at ${at}`)
      at += text.length + 3
      tokens.push({ kind: 'blob', text, start, end: at })
    } else if (CLOSING[char] !== undefined) {
      const text = quoted(sql, at, CLOSING[char] as string)
      at = text.end
      tokens.push({ kind: char === "'" ? 'string' : 'name', text: text.text, start, end: at })
    } else {
      const word = match(WORD)
      const number = word === undefined ? match(NUMBER) : undefined
      const text = word ?? number ?? match(SYMBOL)
      if (text === undefined) throw new Unreadable(`${char} at ${at}`)
      at += text.length
      const kind = word !== undefined ? 'word' : number !== undefined ? 'number' : 'symbol'
      tokens.push({ kind, text, start, end: at })
    }
  }
  return tokens
}

/** A comment that is never closed ends with the text. */
function after(sql: string, mark: string, from: number): number {
  const found = sql.indexOf(mark, from)
  return found < 0 ? sql.length : found + mark.length
}

/** The closing quote, doubled, stands for itself; not so in brackets. */
function quoted(sql: string, start: number, close: string): { text: string; end: number } {
  let text = ''
  for (let at = start + 1; ; ) {
    const end = sql.indexOf(close, at)
    if (end < 0) throw new Unreadable(`a quote that is not closed at ${start}`)
    text += sql.slice(at, end)
    if (close === ']' || sql[end + 1] !== close) return { text, end: end + 1 }
    text += close
    at = end + 2
  }
}

/** Walks over tokens; words compare without case, as SQLite's keywords do. */
export class Reader {
  readonly sql: string
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(sql: string) {
    this.sql = sql
    this.#tokens = tokenize(sql)
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length
  }

  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#at + ahead]
  }

  next(): Token {
    const token = this.#tokens[this.#at++]
    if (token === undefined) throw new Unreadable('the text ends early')
    return token
  }

  /** True where these words follow each other here. */
  atWords(...words: readonly string[]): boolean {
    return words.every((word, ahead) => {
      const token = this.peek(ahead)
      return token?.kind === 'word' && token.text.toUpperCase() === word
    })
  }

  /** Passes these words if all of them stand here. */
  takeWords(...words: readonly string[]): boolean {
    const here = this.atWords(...words)
    if (here) this.#at += words.length
    return here
  }

  atSymbol(symbol: string): boolean {
    const token = this.peek()
    return token?.kind === 'symbol' && token.text === symbol
  }

  takeSymbol(symbol: string): boolean {
    const here = this.atSymbol(symbol)
    if (here) this.#at++
    return here
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw new Unreadable(`no ${symbol} at ${this.peek()?.start ?? 'the end'}`)
  }

  /** A name in any quoting, a string too: SQLite takes both. */
  takeName(): string {
    const token = this.next()
    if (token.kind === 'number' || token.kind === 'symbol' || token.kind === 'blob')
      throw new Unreadable(`no name at ${token.start}`)
    return token.text
  }

  /** From an opening to its closing parenthesis: what stands between them, as it is written. */
  takeGroup(): string {
    const open = this.next()
    if (open.text !== '(' || open.kind !== 'symbol') throw new Unreadable(`no ( at ${open.start}`)
    for (let depth = 1; ; ) {
      const token = this.next()
      if (token.kind !== 'symbol') continue
      if (token.text === '(') depth++
      if (token.text === ')' && --depth === 0) return this.sql.slice(open.end, token.start).trim()
    }
  }
}
