/**
 * The change of authority over HTTP. A run belongs to the operator: a client that goes away ends the waiting and
 * nothing else, and nothing here times out before the run does.
 */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { Failure } from '../core/errors.ts'
import type { Operator } from '../core/operator.ts'
import type { SwitchRequest } from '../core/switch-run.ts'
import { within } from '../runtime/service.ts'
import { errors, type RouteOptions, withToken } from './routes.ts'
import { Lag } from './schemas.ts'
import {
  FinalizeSchema,
  RollbackRequestSchema,
  Run,
  refusals,
  SwitchoverRequestSchema,
  Writes,
  WritesPauseSchema,
  type WritesReport,
} from './schemas-switch.ts'

/** The report reads tables of PostgreSQL. */
const REPORT_MS = 20_000

/** Behind the token, where access.ts asks for it. */
export const changeOfAuthority: FastifyPluginCallbackTypebox<Pick<RouteOptions, 'operator'>> = (
  app,
  { operator },
  done,
) => {
  app.get(
    '/switchover',
    {
      schema: {
        summary: 'The current switchover or rollback, or the last one',
        tags: ['read'],
        response: { 200: Run, ...errors },
      },
    },
    () => operator.switchRun(),
  )

  app.post(
    '/switchover',
    {
      schema: {
        summary: 'Give the authority to PostgreSQL',
        description:
          'Waits for lag zero, then pauses writes, drains, decides and opens PostgreSQL. It goes on where the client ' +
          'goes away: GET /switchover, and the event `switch` of GET /events, show it.',
        tags: ['control'],
        security: withToken,
        body: SwitchoverRequestSchema,
        response: { 200: Run, ...refusals, ...errors },
      },
      preValidation: defaultsToAll,
    },
    ({ body: { verify = 'recent', ...body } }) =>
      operator.switchAuthority({ ...wanted(body), passage: 'switchover', verify, force: false }),
  )

  app.post(
    '/rollback',
    {
      schema: {
        summary: 'Give the authority back to SQLite, with everything that PostgreSQL accepted',
        description: 'The same backwards; it outlives its client, too.',
        tags: ['control'],
        security: withToken,
        body: RollbackRequestSchema,
        response: { 200: Run, ...refusals, ...errors },
      },
      preValidation: defaultsToAll,
    },
    ({ body: { force = false, ...body } }) =>
      operator.switchAuthority({ ...wanted(body), passage: 'rollback', verify: 'recent', force }),
  )

  app.post(
    '/finalize',
    {
      schema: {
        summary: 'End the way back: reverse replication and capture go, the SQLite file stays, fenced',
        tags: ['control'],
        security: withToken,
        body: FinalizeSchema,
        response: { 200: Lag, ...errors },
      },
    },
    async ({ body }) => {
      await operator.finalize(body.confirm)
      return operator.lag()
    },
  )

  app.post(
    '/writes/pause',
    {
      schema: {
        summary: 'Close the engine that leads to applications, for so long',
        tags: ['control'],
        security: withToken,
        body: WritesPauseSchema,
        response: { 200: Writes, ...errors },
      },
    },
    async ({ body: { reason, for_seconds: seconds = 300 } }) => {
      await operator.pauseWrites(reason.trim(), seconds)
      return writes(operator)
    },
  )

  app.post(
    '/writes/resume',
    {
      schema: {
        summary: 'End every pause of writes',
        tags: ['control'],
        security: withToken,
        response: { 200: Writes, ...errors },
      },
    },
    async () => {
      await operator.resumeWrites()
      return writes(operator)
    },
  )

  app.get(
    '/report',
    {
      schema: {
        summary: 'The proof, as Markdown: rows, verify, pauses, backup, who and when',
        tags: ['read'],
        response: {
          200: { description: 'Markdown', content: { 'text/markdown': { schema: Type.String() } } },
          ...errors,
        },
      },
    },
    async (_request, reply) =>
      reply
        .type('text/markdown; charset=utf-8')
        .send(await within(REPORT_MS, operator.report(), () => silent())),
  )
  done()
}

type Wanted = Pick<SwitchRequest, 'wait_seconds' | 'dry_run' | 'max_pause_ms' | 'override'>

/** What both directions take; the schema has filled in the same. */
function wanted({
  wait_seconds = 60,
  dry_run = false,
  override = [],
  max_pause_ms,
}: Partial<Wanted>): Wanted {
  return { wait_seconds, dry_run, override, max_pause_ms }
}

/** No body asks for what is usual. */
async function defaultsToAll(request: { body: unknown }): Promise<void> {
  request.body ??= {}
}

async function writes(operator: Operator): Promise<WritesReport> {
  const { authority, epoch, fences } = await operator.status()
  return { authority, epoch, fences }
}

function silent(): Failure {
  return new Failure({
    code: 'target_silent',
    message: `PostgreSQL did not answer within ${REPORT_MS / 1000} s.`,
    remedy: 'Ask again later; GET /status tells what it waits for.',
    policy: 'transient',
    status: 504,
  })
}
