/** What the API answers and takes. Nothing here knows an engine: it asks the operator. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Registry } from 'prom-client'
import { Type } from 'typebox'
import { Failure } from '../core/errors.ts'
import type { Operator } from '../core/operator.ts'
import { HealthSchema, Lag, PauseSchema, ReadySchema, Status } from './schemas.ts'

export interface RouteOptions {
  readonly operator: Operator
  readonly registry: Registry
  readonly version: string
}

/** Every answer that is not 2xx. */
export const errors = {
  '4xx': { description: 'Refused', content: { 'application/problem+json': { schema: Type.Ref('Problem') } } },
  '5xx': { description: 'Failed', content: { 'application/problem+json': { schema: Type.Ref('Problem') } } },
}

/** Of a route that needs the token under every host. */
export const withToken = [{ token: [] }]

/** Open to everybody: a supervisor has no token. */
export const probes: FastifyPluginCallbackTypebox<RouteOptions> = (app, { operator, version }, done) => {
  app.get(
    '/healthz',
    { schema: { summary: 'The process lives', tags: ['probes'], response: { 200: HealthSchema } } },
    () => ({ ok: true, version, uptime_seconds: Math.round(process.uptime()) }),
  )

  app.get(
    '/readyz',
    {
      schema: {
        summary: 'Requests can be answered with current data',
        tags: ['probes'],
        response: { 200: ReadySchema, ...errors },
      },
    },
    () => {
      const { ok, reasons } = operator.ready()
      if (ok) return { ok, reasons: [...reasons] }
      throw new Failure({
        code: 'not_ready',
        message: `Not ready: ${reasons.join('; ') || 'starting'}.`,
        remedy: 'Wait, or see GET /status for what it waits for.',
        status: 503,
        facts: { reasons },
      })
    },
  )
  done()
}

/** Behind the token, where access.ts asks for it. */
export const control: FastifyPluginCallbackTypebox<RouteOptions> = (app, { operator, registry }, done) => {
  app.get(
    '/lag',
    {
      schema: { summary: 'How far the target is behind', tags: ['read'], response: { 200: Lag, ...errors } },
    },
    () => operator.lag(),
  )

  app.get(
    '/status',
    { schema: { summary: 'Everything', tags: ['read'], response: { 200: Status, ...errors } } },
    () => operator.status(),
  )

  app.get(
    '/metrics',
    {
      schema: {
        summary: 'Prometheus metrics',
        tags: ['read'],
        response: { 200: { description: 'Text', content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  )

  app.post(
    '/replication/pause',
    {
      schema: {
        summary: 'Stop applying changes; they stay in the changelog',
        tags: ['control'],
        security: withToken,
        body: PauseSchema,
        response: { 200: Lag, ...errors },
      },
    },
    async (request) => {
      await operator.pauseReplication(request.body.reason.trim())
      return operator.lag()
    },
  )

  app.post(
    '/replication/resume',
    {
      schema: {
        summary: 'Apply changes again',
        tags: ['control'],
        security: withToken,
        response: { 200: Lag, ...errors },
      },
    },
    async () => {
      await operator.resumeReplication()
      return operator.lag()
    },
  )
  done()
}
