/** What the API answers and takes about rows: what is set aside, what differs, what has happened. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Failure } from '../core/errors.ts'
import { within } from '../runtime/service.ts'
import { errors, type RouteOptions, withToken } from './routes.ts'
import {
  Changes,
  LimitSchema,
  PageSchema,
  Quarantine,
  Retry,
  Verify,
  VerifyRequestSchema,
} from './schemas-data.ts'

/** Below the patience of the command line. */
const ANSWER_MS = 4_000
const MAX_ENTRIES = 1_000n
const MAX_ID = 2n ** 63n - 1n

/** Behind the token, where access.ts asks for it. */
export const data: FastifyPluginCallbackTypebox<Pick<RouteOptions, 'operator'>> = (
  app,
  { operator },
  done,
) => {
  app.get(
    '/quarantine',
    {
      schema: {
        summary: 'Rows that are set aside',
        tags: ['read'],
        querystring: LimitSchema,
        response: { 200: Quarantine, ...errors },
      },
    },
    ({ query }) => answered(operator.quarantine(Number(whole('limit', query.limit, 1n, MAX_ENTRIES)))),
  )

  app.post(
    '/quarantine/retry',
    {
      schema: {
        summary: 'Transfer every row that is set aside once more',
        tags: ['control'],
        security: withToken,
        response: { 200: Retry, ...errors },
      },
    },
    () => operator.retryQuarantine(),
  )

  app.get(
    '/verify',
    {
      schema: {
        summary: 'The current run of verify, or the last one',
        tags: ['read'],
        response: { 200: Verify, ...errors },
      },
    },
    () => operator.verification(),
  )

  app.post(
    '/verify',
    {
      schema: {
        summary: 'Compare all rows while changes are applied, and mend what differs where that is asked for',
        tags: ['control'],
        security: withToken,
        body: VerifyRequestSchema,
        response: { 202: Verify, ...errors },
      },
      // No body asks for everything.
      preValidation: async (request) => {
        request.body ??= {}
      },
    },
    async ({ body: { tables, repair = false } }, reply) =>
      reply
        .code(202)
        .header('location', '/verify')
        .send(await operator.startVerify({ ...(tables && { tables }), repair })),
  )

  app.get(
    '/changes',
    {
      schema: {
        summary: 'The event history, from an entry on',
        tags: ['read'],
        querystring: PageSchema,
        response: { 200: Changes, ...errors },
      },
    },
    ({ query }) => {
      const after = whole('after', query.after, 0n, MAX_ID)
      const limit = whole('limit', query.limit, 1n, MAX_ENTRIES)
      return answered(operator.changes(String(after), Number(limit)))
    },
  )
  done()
}

/** Throws a Failure 400 that names the parameter. The schema has filled what was not given. */
function whole(name: string, text: string | undefined, least: bigint, most: bigint): bigint {
  const number = /^\d{1,19}$/.test(text ?? '') ? BigInt(text!) : undefined
  if (number !== undefined && number >= least && number <= most) return number
  throw new Failure({
    code: 'invalid_request',
    message: `The request is not valid: ${name} must be a whole number from ${least} to ${most}.`,
    remedy: 'See /docs for what it takes.',
    status: 400,
  })
}

/** What is read from PostgreSQL comes soon, or the request ends with the reason. */
function answered<T>(report: Promise<T>): Promise<T> {
  return within(
    ANSWER_MS,
    report,
    () =>
      new Failure({
        code: 'target_silent',
        message: `PostgreSQL did not answer within ${ANSWER_MS / 1000} s.`,
        remedy: 'Ask again later; GET /status tells what it waits for.',
        policy: 'transient',
        status: 504,
      }),
  )
}
