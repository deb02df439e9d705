/** `GET /events`: what happens, as it happens, over server-sent events; they end when the server stops. */
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { Failure } from '../core/errors.ts'
import type { Operator, OperatorEvent } from '../core/operator.ts'

/** A reader with more events waiting is cut off: it comes back by itself and gets the present state. */
const MAX_WAITING = 100

export const events: FastifyPluginCallback<{ readonly operator: Operator }> = (app, { operator }, done) => {
  const open = new Set<Stream>()

  app.get(
    '/events',
    {
      // Its own check instead of the plugin's, which does not answer in problem+json.
      sse: 'manual',
      // The answer to HEAD would never end.
      exposeHeadRoute: false,
      schema: {
        summary: 'Server-sent events: phase, progress, verify, switch, and lag each second',
        tags: ['read'],
        response: {
          200: { description: 'Events', content: { 'text/event-stream': { schema: Type.String() } } },
        },
      },
    },
    async (request, reply) => {
      requireEventStream(request)
      const status = await operator.status()
      const { tables } = status
      reply.sse.keepAlive()
      const stream = new Stream(reply)
      open.add(stream)
      stream.push({ type: 'phase', phase: status.phase, previous: status.phase })
      stream.push({ type: 'progress', tables })
      stream.push({ type: 'lag', lag: await operator.lag() })
      const verify = operator.verification()
      if (verify.state !== 'none') stream.push({ type: 'verify', verify })
      const run = operator.switchRun()
      if (run.state !== 'none') stream.push({ type: 'switch', run })
      const unsubscribe = operator.subscribe((event) => stream.push(event))
      reply.sse.onClose(() => {
        unsubscribe()
        open.delete(stream)
      })
    },
  )

  app.addHook('preClose', () => {
    for (const stream of open) stream.close()
  })
  done()
}

/** One reader. It gets events at its own pace: of phases each one, of the rest the newest. */
class Stream {
  readonly #reply: FastifyReply
  #waiting: OperatorEvent[] = []
  #writing = false

  constructor(reply: FastifyReply) {
    this.#reply = reply
  }

  push(event: OperatorEvent): void {
    if (event.type !== 'phase') this.#waiting = this.#waiting.filter(({ type }) => type !== event.type)
    this.#waiting.push(event)
    if (this.#waiting.length > MAX_WAITING) this.close()
    else if (!this.#writing) void this.#write()
  }

  close(): void {
    this.#reply.sse.close()
  }

  async #write(): Promise<void> {
    this.#writing = true
    const { sse } = this.#reply
    for (
      let event = this.#waiting.shift();
      event !== undefined && sse.isConnected;
      event = this.#waiting.shift()
    ) {
      // Resolves when the socket takes more. A connection that closes meanwhile is no error.
      await sse.send({ event: event.type, data: dataOf(event) }).catch(() => {})
    }
    this.#writing = false
  }
}

function dataOf(event: OperatorEvent): object {
  if (event.type === 'lag') return event.lag
  if (event.type === 'verify') return event.verify
  if (event.type === 'switch') return event.run
  const { type: _, ...rest } = event
  return rest
}

function requireEventStream(request: FastifyRequest): void {
  const accept = request.headers.accept ?? '*/*'
  if (/text\/event-stream|text\/\*|\*\/\*/i.test(accept)) return
  throw new Failure({
    code: 'not_acceptable',
    message: 'This answers with text/event-stream only.',
    remedy: 'Ask with "Accept: text/event-stream", or use GET /lag.',
    status: 406,
  })
}
