/** A proxy in front of PostgreSQL that holds back or cuts what passes, at exactly one message. */
import { createServer, connect as dial, type Server, type Socket } from 'node:net'

export interface Link {
  readonly client: Socket
  readonly server: Socket
}

/** What happens to a piece that the client sends. `deaf`: it arrives, and no answer comes back any more. */
export type Verdict = 'pass' | 'hold' | 'deaf'

export class TcpProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #links = new Set<Link>()
  readonly #held: { link: Link; piece: Buffer }[] = []
  /** Asked for each piece that a client sends. */
  judge: (piece: Buffer) => Verdict = () => 'pass'

  private constructor(server: Server) {
    this.#server = server
  }

  /** `url`: of the server; the proxy's own is `urlOf`. */
  static async start(url: string): Promise<TcpProxy & { readonly url: string }> {
    const { hostname, port } = new URL(url)
    const server = createServer()
    const proxy = new TcpProxy(server)
    server.on('connection', (client) => proxy.#link(client, dial(Number(port), hostname)))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const own = new URL(url)
    own.port = String((server.address() as { port: number }).port)
    return Object.assign(proxy, { url: own.href })
  }

  #link(client: Socket, server: Socket): void {
    const link = { client, server }
    this.#links.add(link)
    let deaf = false
    let holding = false
    client.on('data', (data) => {
      const piece = Buffer.from(data)
      const verdict = holding ? 'hold' : this.judge(piece)
      if (verdict === 'hold') {
        holding = true
        this.#held.push({ link, piece })
        return
      }
      if (verdict === 'deaf') deaf = true
      server.write(piece)
    })
    server.on('data', (piece) => {
      if (!deaf) client.write(piece)
    })
    for (const socket of [client, server]) socket.on('error', () => undefined)
    server.on('close', () => client.destroy())
    // What is held back reaches the server although its sender has gone: so does what lies in a socket's buffer.
    client.on('close', () => {
      if (!holding) server.destroy()
    })
  }

  /** Lets everything go that was held back. Returns how many pieces. */
  release(): number {
    const held = this.#held.splice(0)
    for (const { link, piece } of held) if (!link.server.destroyed) link.server.write(piece)
    return held.length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client, server } of this.#links) for (const socket of [client, server]) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
