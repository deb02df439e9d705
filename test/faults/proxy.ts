/** A network that misbehaves, between a client and PostgreSQL. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Frontend } from './frontend.ts'

/** What becomes of a COMMIT. */
export type CommitStrike =
  /** It is delivered; the client is cut off before the answer. */
  | 'answer_lost'
  /** Both are cut off, and it never arrives. */
  | 'never_sent'
  /** The client is cut off at once; it arrives later, when the client has long given up. */
  | 'late'
  /** It arrives later, and the answer as well. */
  | 'slow'

export interface StrikeOptions {
  readonly times: number
  /** Of `late` and `slow`. */
  readonly holdMs?: number
  /** Only transactions in which one of the statements matches. */
  readonly match?: RegExp
}

interface Armed extends StrikeOptions {
  readonly strike: CommitStrike
  left: number
}

/** Statements of a transaction that are kept for `match`. */
const KEPT_CHARACTERS = 200_000

export class PostgresProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #upstreamPort: number
  readonly #links = new Set<Link>()
  #delayMs = 0
  #open = Promise.resolve()
  #reopen: (() => void) | undefined
  #armed: Armed | undefined
  /** COMMITs that were struck, since the beginning. */
  struck = 0

  private constructor(server: Server, upstreamPort: number) {
    this.#server = server
    this.#upstreamPort = upstreamPort
    server.on('connection', (client) => {
      const link = new Link(this, client, connect(this.#upstreamPort, '127.0.0.1'))
      this.#links.add(link)
      link.onEnd = () => this.#links.delete(link)
    })
  }

  static async open(upstreamPort: number): Promise<PostgresProxy> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: false })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new PostgresProxy(server, upstreamPort)
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  /** The same server through this proxy. */
  url(upstream: string): string {
    const url = new URL(upstream)
    url.port = String(this.port)
    return url.href
  }

  get connections(): number {
    return this.#links.size
  }

  /** Every connection is reset, on both sides. */
  cut(): void {
    for (const link of this.#links) link.destroy()
  }

  /** Bytes are held back by so much, in both directions. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Nothing passes any more, not even that a side has closed. */
  blackhole(): void {
    if (this.#reopen !== undefined) return
    this.#open = new Promise((resolve) => {
      this.#reopen = resolve
    })
  }

  /** The next COMMITs are struck. */
  arm(strike: CommitStrike, options: StrikeOptions): void {
    this.#armed = { strike, left: options.times, ...options }
  }

  /** What was held back is delivered, and nothing more is done. */
  heal(): void {
    this.#delayMs = 0
    this.#armed = undefined
    this.#reopen?.()
    this.#reopen = undefined
  }

  /** Resolves when a piece may pass. */
  async pass(): Promise<void> {
    if (this.#delayMs > 0) await sleep(this.#delayMs)
    await this.#open
  }

  get clear(): boolean {
    return this.#delayMs === 0 && this.#reopen === undefined
  }

  /** What to do with this COMMIT. */
  judge(transaction: string): { readonly strike: CommitStrike; readonly holdMs: number } | undefined {
    const armed = this.#armed
    if (armed === undefined || armed.left === 0) return undefined
    if (armed.match !== undefined && !armed.match.test(transaction)) return undefined
    armed.left--
    this.struck++
    return { strike: armed.strike, holdMs: armed.holdMs ?? 0 }
  }

  async close(): Promise<void> {
    this.heal()
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

class Link {
  onEnd = (): void => {}
  readonly #proxy: PostgresProxy
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #frontend = new Frontend()
  #transaction = ''
  /** The client is cut off: what the server still says is for nobody. */
  #orphaned = false

  constructor(proxy: PostgresProxy, client: Socket, upstream: Socket) {
    this.#proxy = proxy
    this.#client = client
    this.#upstream = upstream
    client.setNoDelay(true)
    upstream.setNoDelay(true)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    void this.#carry(client, (bytes) => this.#fromClient(bytes))
    void this.#carry(upstream, async (bytes) => {
      if (this.#orphaned) this.destroy()
      else await send(client, bytes)
    })
  }

  destroy(): void {
    this.#client.destroy()
    this.#upstream.destroy()
    this.onEnd()
  }

  /** Piece by piece, in order; a closed side closes the other one once everything before it has passed. */
  async #carry(from: Socket, deliver: (bytes: Buffer) => Promise<void>): Promise<void> {
    try {
      for await (const chunk of from) {
        if (!this.#proxy.clear) await this.#proxy.pass()
        await deliver(chunk as Buffer)
      }
    } catch {
      // Reset: as good as closed.
    }
    if (!this.#proxy.clear) await this.#proxy.pass()
    if (this.#orphaned) return
    // What has been taken over is still delivered.
    for (const socket of [this.#client, this.#upstream]) socket.destroySoon()
    this.onEnd()
  }

  async #fromClient(chunk: Buffer): Promise<void> {
    for (const { bytes, text } of this.#frontend.push(chunk)) {
      if (text !== undefined && (await this.#struck(text, bytes))) return
      await send(this.#upstream, bytes)
    }
  }

  /** True where this COMMIT, and whatever comes after it, is not to be sent as usual. */
  async #struck(text: string, bytes: Buffer): Promise<boolean> {
    if (/^\s*(BEGIN|START TRANSACTION)\b/i.test(text)) this.#transaction = ''
    if (this.#transaction.length < KEPT_CHARACTERS) this.#transaction += `${text};\n`
    if (!/(^|;)\s*COMMIT\s*;?\s*$/i.test(text)) return false
    const verdict = this.#proxy.judge(this.#transaction)
    switch (verdict?.strike) {
      case undefined:
        return false
      case 'slow':
        await sleep(verdict.holdMs)
        return false
      case 'never_sent':
        this.destroy()
        return true
      case 'answer_lost':
        this.#orphan()
        await send(this.#upstream, bytes)
        return true
      case 'late':
        this.#orphan()
        await sleep(verdict.holdMs)
        await send(this.#upstream, bytes)
        return true
    }
  }

  #orphan(): void {
    this.#orphaned = true
    this.#client.destroy()
    this.#upstream.once('close', () => this.onEnd())
  }
}

async function send(to: Socket, bytes: Buffer): Promise<void> {
  if (to.destroyed) return
  if (!to.write(bytes)) await Promise.race([once(to, 'drain'), once(to, 'close')])
}
