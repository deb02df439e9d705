/** The control API: a Fastify server around an operator, as a service. */
import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { fastifySSE } from '@fastify/sse'
import fastifyStatic from '@fastify/static'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import { Failure, messageOf } from '../core/errors.ts'
import type { Operator } from '../core/operator.ts'
import { type Service, within } from '../runtime/service.ts'
import { Access } from './access.ts'
import { events } from './events.ts'
import { problem, problemOf, sendProblem } from './problem.ts'
import { answerProtocolErrors, refuseConnection } from './protocol-errors.ts'
import { control, probes } from './routes.ts'
import { data } from './routes-data.ts'
import { changeOfAuthority } from './routes-switch.ts'
import { LagSchema, ProblemSchema, StatusSchema } from './schemas.ts'
import { ChangesSchema, QuarantineSchema, RetrySchema, VerifySchema } from './schemas-data.ts'
import { GuardSchema, SwitchRunSchema, WritesSchema } from './schemas-switch.ts'

export interface ApiOptions {
  readonly operator: Operator
  readonly registry: Registry
  readonly token: string
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** Where clients dial, if that is not the bound address: its name is let in. */
  readonly publicUrl?: string
  readonly version: string
  readonly logger: { error(facts: object, text: string): void }
  /** Masks secrets in whatever leaves; see core/secrets.ts. */
  readonly scrub: (text: string) => string
  /** For requests in flight when it stops. */
  readonly stopMs?: number
}

export interface Api extends Service {
  /** Where it listens, e.g. `http://127.0.0.1:8484`; undefined before the start. */
  readonly url: string | undefined
}

const SCHEMAS = [
  LagSchema,
  VerifySchema,
  GuardSchema,
  SwitchRunSchema,
  WritesSchema,
  StatusSchema,
  QuarantineSchema,
  RetrySchema,
  ChangesSchema,
  ProblemSchema,
]
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

export function createApi(options: ApiOptions): Api {
  let app: FastifyInstance | undefined
  let url: string | undefined
  let stopping: Promise<void> | undefined
  return {
    name: 'control API',
    get url() {
      return url
    },
    /** Throws a Failure `port_taken` or `cannot_listen`. */
    async start() {
      if (stopping !== undefined) return
      app = await build(options)
      // Asked to stop meanwhile.
      if (stopping !== undefined) return app.close()
      await app.listen({ host: options.host, port: options.port }).catch((error: unknown) => {
        throw listenFailure(error, options)
      })
      const address = app.server.address() as AddressInfo
      url = addressUrl(options.host, address.port)
    },
    stop() {
      stopping ??= close(app, options.stopMs ?? 3000)
      return stopping
    },
  }
}

async function build(options: ApiOptions): Promise<FastifyInstance> {
  const { operator, registry, version, logger, scrub } = options
  const onError = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const body = problemOf(error)
    if (body.code === 'defect')
      logger.error({ err: error, method: request.method, url: request.url }, 'defect')
    if (body.status === 401) reply.header('www-authenticate', 'Bearer')
    return sendProblem(reply, body)
  }
  const app = fastify({
    bodyLimit: 16 * 1024,
    // Requests that come on an open connection while it closes are answered, then the connection ends.
    return503OnClosing: false,
    frameworkErrors: onError,
    clientErrorHandler: refuseConnection,
    // Of a request to come in. Its answer has no limit here: a switchover waits as long as it was told to.
    requestTimeout: 30_000,
    // access.ts looks at it, and says what is wrong.
    http: { requireHostHeader: false },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  })
  const names = options.publicUrl === undefined ? [] : [new URL(options.publicUrl).hostname]
  const access = new Access({ token: options.token, host: options.host, names })

  app.setErrorHandler(onError)
  app.setNotFoundHandler((request, reply) => notFound(app, request, reply))
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS)
    access.checkHost(request)
  })
  let closing = false
  app.addHook('preClose', () => {
    closing = true
  })
  app.addHook('onSend', async (_request, reply, payload) => {
    // Otherwise a connection whose request was in flight would stay open, and the close would wait for it.
    if (closing) reply.header('connection', 'close')
    return typeof payload === 'string' ? scrub(payload) : payload
  })
  takeJsonOnly(app)
  answerProtocolErrors(app.server)
  for (const schema of SCHEMAS) app.addSchema(schema)
  await app.register(swagger, openapi(version))
  // Events do not pass the hook above.
  await app.register(fastifySSE, {
    heartbeatInterval: 15_000,
    serializer: (data) => scrub(JSON.stringify(data)),
  })

  await app.register(fastifyStatic, {
    root: publicFolder(),
    wildcard: false,
    cacheControl: false,
    schemaHide: true,
  })
  await app.register(probes, { operator, registry, version })
  await app.register(async (guarded) => {
    guarded.addHook('onRequest', async (request) => access.checkToken(request))
    await guarded.register(control, { operator, registry, version })
    await guarded.register(data, { operator })
    await guarded.register(changeOfAuthority, { operator })
    await guarded.register(events, { operator })
    await guarded.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_POLICY })
    guarded.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  })
  await app.ready()
  return app
}

async function close(app: FastifyInstance | undefined, ms: number): Promise<void> {
  if (app === undefined) return
  const closed = app.close()
  await within(ms, closed, () => new Error('late')).catch(() => {
    // What is still in flight by now is not waited for.
    app.server.closeAllConnections()
    return closed
  })
}

/** 405 where another method would do, 404 elsewhere. */
function notFound(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?', 1)[0]!
  const allowed = METHODS.filter((method) => app.hasRoute({ method, url: path }))
  if (allowed.length === 0) {
    const detail = `There is no ${path} here.`
    return sendProblem(
      reply,
      problem({ status: 404, code: 'not_found', detail, remedy: 'GET /docs lists all.' }),
    )
  }
  reply.header('allow', allowed.join(', '))
  const detail = `${path} does not take ${request.method}.`
  const remedy = `Use ${allowed.join(' or ')}.`
  return sendProblem(reply, problem({ status: 405, code: 'method_not_allowed', detail, remedy }))
}

/** No body is fine, as `curl -X POST -H 'content-type: application/json'` sends it; text is not. */
function takeJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser(['text/plain', 'application/json'])
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else void parse(request, body as string, done)
  })
}

function listenFailure(error: unknown, { host, port }: ApiOptions): Failure {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE') {
    return new Failure({
      code: 'port_taken',
      message: `port ${port} on ${host} is taken`,
      remedy: 'Set CONTROL_PORT to a free port, or stop what listens there.',
      cause: error,
    })
  }
  return new Failure({
    code: 'cannot_listen',
    message: `cannot listen on ${host}, port ${port}: ${messageOf(error)}`,
    remedy: 'Set CONTROL_HOST to an address of this machine, and CONTROL_PORT to a port that may be used.',
    cause: error,
  })
}

function addressUrl(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Beside the sources; a build has no copy of them, but the package has both. */
function publicFolder(): string {
  const here = fileURLToPath(new URL('./public/', import.meta.url))
  return existsSync(here) ? here : fileURLToPath(new URL('../../../src/api/public/', import.meta.url))
}

function openapi(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'slipway', version, description: 'Control of a migration from SQLite to PostgreSQL.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    refResolver: { buildLocalReference: (json) => String(json.$id) },
    transformObject: (document) => {
      if (!('openapiObject' in document)) return document.swaggerObject
      // The plugin says of every body that it is required; one without a required field may be left out.
      for (const path of Object.values(document.openapiObject.paths ?? {})) {
        const body = path?.post?.requestBody
        if (body === undefined || '$ref' in body) continue
        const schema = body.content['application/json']?.schema
        body.required = schema !== undefined && 'required' in schema
      }
      return document.openapiObject
    },
  }
}

const POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
}
/** The viewer styles its elements inline. */
const DOCS_POLICY = { ...POLICY, 'style-src': "'self' 'unsafe-inline'", 'font-src': "'self' data:" }

const SECURITY_HEADERS = {
  'content-security-policy': Object.entries(POLICY)
    .map((entry) => entry.join(' '))
    .join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}
