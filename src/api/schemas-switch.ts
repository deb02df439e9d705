/** Shapes of what the API says and takes of a change of authority. As in schemas.ts. */
import { type Static, type TSchema, Type } from 'typebox'
import type { StatusReport } from '../core/operator.ts'
import {
  type Guard,
  NO_RUN,
  type SwitchRequest,
  type SwitchRun,
  type SwitchStep,
} from '../core/switch-run.ts'
import { STEPS } from '../core/switching.ts'

const Text = Type.String()
const Count = Type.Integer({ minimum: 0 })
const Time = Type.String({ format: 'date-time' })
const Ms = Type.Number({ minimum: 0 })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const words = <const T extends string>(values: readonly T[]) => Type.Enum([...values])
const authority = words(['sqlite', 'postgres', 'none'])
const passage = words(['switchover', 'rollback'])

const guard = {
  code: Type.String({ description: 'Stable; what `override` takes.' }),
  ok: Type.Boolean(),
  value: Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Array(Text), Type.Null()], {
    description: 'As measured; null where it could not be.',
  }),
  limit: Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()], {
    description: 'What it must be.',
  }),
  remedy: Type.String({ description: 'What to do; empty where it is well.' }),
  overridable: Type.Boolean(),
  overridden: Type.Optional(Type.Boolean({ description: 'Not well, and a person said to go on.' })),
}

const step = Type.Object({
  step: words([...STEPS, 'guards', 'before_hook', 'after']),
  state: words(['waiting', 'running', 'done', 'failed', 'skipped']),
  title: Text,
  ms: nullable(Ms),
  detail: nullable(Text),
})

export const GuardSchema = Type.Object(guard, { $id: 'Guard', description: 'A guard as it was measured.' })

/** A run as the examples of OpenAPI show it. */
const DONE: SwitchRun = {
  ...NO_RUN,
  state: 'done',
  attempt: 1,
  epoch: 2,
  started_at: '2026-01-02T03:04:05.000Z',
  finished_at: '2026-01-02T03:04:06.200Z',
  pause_ms: 38.4,
  drained_changes: 12,
  steps: [
    { step: 'guards', state: 'done', title: 'Guards', ms: 412, detail: null },
    { step: 'hold', state: 'done', title: "SQLite's write lock", ms: 0.2, detail: null },
    { step: 'drain', state: 'done', title: 'Drain under the lock', ms: 14.1, detail: '12 changes' },
    { step: 'decide', state: 'done', title: "PostgreSQL's commit", ms: 9.7, detail: null },
  ],
}

export const SwitchRunSchema = Type.Object(
  {
    state: words(['none', 'running', 'done', 'undone', 'displaced', 'refused', 'dry_run']),
    passage,
    attempt: Count,
    from: authority,
    to: authority,
    epoch: Count,
    started_at: nullable(Time),
    finished_at: nullable(Time),
    pause_ms: nullable(Ms),
    drained_changes: nullable(Count),
    predicted_pause_ms: nullable(Ms),
    steps: Type.Array(step),
    guards: Type.Array(Type.Unsafe<Guard>(Type.Ref('Guard'))),
    overrides: Type.Array(Text),
    reason: nullable(Text),
    remedy: nullable(Text),
    forced: Type.Boolean(),
  },
  {
    $id: 'SwitchRun',
    description: 'The current switchover or rollback, or the last one; state none where there never was one.',
    examples: [DONE],
  },
)

/** Optional, each with a default, so that an empty body asks for what is usual. */
const request = {
  wait_seconds: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 86_400,
      default: 60,
      description: 'How long to wait for lag zero, before anything is paused.',
    }),
  ),
  dry_run: Type.Optional(
    Type.Boolean({
      default: false,
      description: 'Measures the guards and predicts the pause; changes nothing.',
    }),
  ),
  max_pause_ms: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 600_000,
      description: 'A pause that has not come to its decision by then is undone. Left out: MAX_PAUSE_MS.',
    }),
  ),
  override: Type.Optional(
    Type.Array(Type.String({ pattern: '^[a-z][a-z0-9_]*$', maxLength: 63 }), {
      default: [],
      maxItems: 32,
      description: 'Codes of guards to go on without, those that are overridable. It is logged and stored.',
    }),
  ),
}

export const SwitchoverRequestSchema = Type.Object(
  {
    ...request,
    verify: Type.Optional(
      Type.Enum(['recent', 'full', 'none'], {
        default: 'recent',
        description:
          'recent: a verify within VERIFY_MAX_AGE_SECONDS counts; full: one is made now and waited for; none: no such guard.',
      }),
    ),
  },
  {
    additionalProperties: false,
    examples: [{}, { wait_seconds: 120, verify: 'full' }, { dry_run: true }, { override: ['backup'] }],
  },
)

export const RollbackRequestSchema = Type.Object(
  {
    ...request,
    force: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'PostgreSQL is gone, and you state that it is stopped: what it accepted and SQLite does not have stays there.',
      }),
    ),
  },
  { additionalProperties: false, examples: [{}, { dry_run: true }, { force: true }] },
)

export const FinalizeSchema = Type.Object(
  {
    confirm: Type.String({
      minLength: 1,
      description: "The migration's name: there is no way back after it.",
    }),
  },
  { additionalProperties: false, examples: [{ confirm: 'news' }] },
)

export const WritesPauseSchema = Type.Object(
  {
    reason: Type.String({
      minLength: 1,
      maxLength: 500,
      pattern: '\\S',
      description: 'Part of the error that applications get.',
    }),
    for_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 86_400,
        default: 300,
        description: 'It ends by itself then, judged by the engine, also where no daemon lives.',
      }),
    ),
  },
  { additionalProperties: false, examples: [{ reason: 'disk is being replaced', for_seconds: 60 }] },
)

const fence = Type.Object({
  engine: words(['sqlite', 'postgres']),
  closed: Type.Boolean(),
  reasons: Type.Array(Text),
  until: nullable(Type.String({ format: 'date-time', description: 'When it opens by itself.' })),
})
export const fences = Type.Array(fence)

/** What part of the status a pause of writes is about. */
export interface WritesReport extends Pick<StatusReport, 'authority' | 'epoch' | 'fences'> {}

export const WritesSchema = Type.Object(
  { authority, epoch: Count, fences },
  { $id: 'Writes', description: 'Which engine takes writes, and what each of them refuses until when.' },
)

/** What a refused request adds to a problem. */
const problem = Type.Unsafe<object>(Type.Ref('Problem'))
const json = (schema: TSchema, example: object) => ({
  'application/problem+json': { schema, examples: { refused: { value: example } } },
})
const withRun = Type.Intersect([problem, Type.Object({ run: Type.Unsafe<SwitchRun>(Type.Ref('SwitchRun')) })])
const withGuards = Type.Intersect([
  problem,
  Type.Object({ guards: Type.Array(Type.Unsafe<Guard>(Type.Ref('Guard'))) }),
])

/** The answers of a POST that changes the authority, besides 200. */
export const refusals = {
  409: {
    description: 'Wrong phase, or there already: with the current or last run',
    content: json(withRun, {
      type: 'urn:slipway:problem:switch_running',
      title: 'Conflict',
      status: 409,
      detail: 'A switchover is running.',
      code: 'switch_running',
      remedy: 'Wait for its end; GET /switchover shows it.',
      run: { ...DONE, state: 'running', finished_at: null, pause_ms: null },
    }),
  },
  412: {
    description: 'Guards refuse: with all of them',
    content: json(withGuards, {
      type: 'urn:slipway:problem:guards_refuse',
      title: 'Precondition Failed',
      status: 412,
      detail: 'A guard refuses: quarantine.',
      code: 'guards_refuse',
      remedy: 'Do what the guards say, then ask again.',
      guards: [
        {
          code: 'phase',
          ok: true,
          value: 'replicating',
          limit: 'replicating',
          remedy: '',
          overridable: false,
        },
        {
          code: 'quarantine',
          ok: false,
          value: 2,
          limit: 0,
          remedy: 'slipway quarantine lists the rows; mend them, then slipway quarantine retry.',
          overridable: true,
        },
      ],
    }),
  },
  504: {
    description: 'Undone in time: writes are open where they were, with the run',
    content: json(withRun, {
      type: 'urn:slipway:problem:undone',
      title: 'Gateway Timeout',
      status: 504,
      detail: 'The drain took longer than 2000 ms; it was undone, and SQLite takes writes.',
      code: 'undone',
      remedy: 'Ask again when less is written, or with a larger max_pause_ms.',
      run: { ...DONE, state: 'undone', pause_ms: 2001.3, epoch: 1, reason: 'The drain took too long.' },
    }),
  },
}

export const Run = Type.Unsafe<SwitchRun>(Type.Ref('SwitchRun'))
export const Writes = Type.Unsafe<WritesReport>(Type.Ref('Writes'))

/** Adding a field to a report without adding it here would drop it from the answer: this fails to compile then. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never
type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T
true satisfies Same<Frozen<Static<typeof GuardSchema>>, Guard>
true satisfies Same<Frozen<Static<typeof step>>, SwitchStep>
true satisfies Same<Frozen<Static<typeof SwitchRunSchema>>, SwitchRun>
true satisfies Same<Frozen<Static<typeof WritesSchema>>, WritesReport>
true satisfies Same<
  keyof Static<typeof SwitchoverRequestSchema> | keyof Static<typeof RollbackRequestSchema> | 'passage',
  keyof SwitchRequest
>
