/**
 * Who may ask what. Everything that changes something needs the token. What only reads is open where nobody but
 * this machine can connect, and needs the token elsewhere. The Host header is checked, since a web page may
 * point a name of its own at 127.0.0.1 and then reads answers as its own (DNS rebinding); it cannot know the
 * token, so a request that carries it passes under any name.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { Failure } from '../core/errors.ts'
import { isLoopback } from '../core/loopback.ts'

export interface AccessOptions {
  readonly token: string
  /** The host that the server binds to. */
  readonly host: string
  /** Further names under which it is reached, such as that of CONTROL_URL. */
  readonly names: readonly string[]
}

export class Access {
  readonly #token: Buffer
  readonly #open: boolean
  readonly #names: ReadonlySet<string>

  constructor({ token, host, names }: AccessOptions) {
    this.#token = digest(token)
    this.#open = isLoopback(host)
    this.#names = new Set([host, ...names].map((name) => name.toLowerCase()))
  }

  /** Throws a Failure 421 unless the request came under a name of ours, 400 where it came under none. */
  checkHost(request: FastifyRequest): void {
    const host = hostname(request.headers.host)
    if (host !== undefined && (isLoopback(host) || isIP(host) !== 0 || this.#names.has(host))) return
    if (this.#hasToken(request)) return
    if (request.headers.host === undefined) {
      throw new Failure({
        code: 'host_missing',
        message: 'The request has no Host header.',
        remedy: 'Send one, as HTTP/1.1 asks for.',
        status: 400,
      })
    }
    throw new Failure({
      code: 'host_not_allowed',
      message: 'This server is not known under the name in the Host header.',
      remedy: 'Use its address, or set CONTROL_URL on the server to the name that clients use.',
      status: 421,
    })
  }

  /** Throws a Failure 401 where the token is needed and missing or wrong. */
  checkToken(request: FastifyRequest): void {
    const reads = request.method === 'GET' || request.method === 'HEAD'
    if ((reads && this.#open) || this.#hasToken(request)) return
    const given = request.headers.authorization !== undefined
    throw new Failure({
      code: given ? 'token_wrong' : 'token_missing',
      message: given ? 'The token is not the right one.' : 'This request needs a token.',
      remedy: 'Send "Authorization: Bearer …" with CONTROL_TOKEN, or with what stands in STATE_DIR/token.',
      status: 401,
    })
  }

  /** Compares digests: they have one length, and the time it takes says nothing of the token. */
  #hasToken(request: FastifyRequest): boolean {
    const match = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')
    return match?.[1] !== undefined && timingSafeEqual(digest(match[1]), this.#token)
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The name of a Host header without its port; undefined for what is none. */
function hostname(header: string | undefined): string | undefined {
  const match = /^(?:\[([\da-f:.]+)\]|([^\s:/@[\]]+))(?::\d+)?$/i.exec(header ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}
