import { describe, expect, test } from 'vitest'
import type { Passage } from '../../src/core/authority.ts'
import type { Failure } from '../../src/core/errors.ts'
import type { ForeignTransaction, GuardFacts, VerifyFacts } from '../../src/core/guard-facts.ts'
import type { Guard, SwitchRequest } from '../../src/core/switch-run.ts'
import {
  checkOverrides,
  guardsOf,
  orphansOf,
  predictPause,
  refusalOf,
  refusing,
} from '../../src/switchover/guards.ts'
import { GUARD_CODES, type GuardLimits } from '../../src/switchover/judges.ts'

const NOW = Date.parse('2026-05-01T12:00:00Z')
const LIMITS: GuardLimits = { maxLagSeconds: 5, verifyMaxAgeSeconds: 3600, maxPauseMs: 2000 }
const VERIFIED: VerifyFacts = {
  state: 'done',
  equal: true,
  startedAt: '2026-05-01T11:50:00Z',
  finishedAt: '2026-05-01T11:55:00Z',
  tables: ['articles', 'dlq'],
}
const TARGET = { transactions: [], prepared: [], unlogged: [], roundTripMs: 0.5, dormant: 2 }

function healthy(passage: Passage): GuardFacts {
  return {
    passage,
    now: NOW,
    askedAt: NOW - 1_000,
    phase: passage === 'switchover' ? 'replicating' : 'switched_over',
    authority: passage === 'switchover' ? 'sqlite' : 'postgres',
    state: 'running',
    reasons: [],
    tables: ['articles', 'dlq'],
    lagSeconds: 0.01,
    quarantine: [],
    drift: [],
    unsafe: new Map(),
    capture: [],
    verify: passage === 'switchover' ? VERIFIED : null,
    backup: { path: '/b', at: '2026-05-01T10:00:00Z', exists: true, bytes: 10, bytesNoted: 10 },
    disks: [{ path: '/data', freeBytes: 2 ** 30, neededBytes: 2 ** 27 }],
    rights: [],
    parity: [],
    rehearsal: [],
    target: TARGET,
    retentionSeconds: 3600,
    foreignKeys: [{ key: 'comments (article_id)', rows: 2 }],
    foreignKeysBefore: [{ key: 'comments (article_id)', rows: 2 }],
    hook: null,
    lockMs: 0.3,
    pace: { batchSeconds: 0.01, pending: 3, batchChanges: 5000 },
  }
}

function request(passage: Passage, change: Partial<SwitchRequest> = {}): SwitchRequest {
  return {
    passage,
    wait_seconds: 60,
    dry_run: false,
    verify: 'recent',
    override: [],
    force: false,
    ...change,
  }
}

function judge(
  passage: Passage,
  change: Partial<GuardFacts> = {},
  asked: Partial<SwitchRequest> = {},
): Map<string, Guard> {
  const guards = guardsOf({ ...healthy(passage), ...change }, request(passage, asked), LIMITS)
  return new Map(guards.map((guard) => [guard.code, guard]))
}

function transaction(change: Partial<ForeignTransaction>): ForeignTransaction {
  return {
    who: 'psql as news (pid 7)',
    state: 'idle in transaction',
    seconds: 9,
    why: 'holds a lock',
    tables: ['public.articles'],
    ...change,
  }
}

describe('where all is well', () => {
  test('a switchover', () => {
    const guards = [...judge('switchover').values()]
    expect(guards.map(({ code }) => code)).toEqual(GUARD_CODES.filter((code) => code !== 'unsafe'))
    expect(guards.filter(({ ok, remedy }) => !ok || remedy !== '')).toEqual([])
    expect(refusing(guards)).toEqual([])
    expect(refusalOf(guards, 'switchover')).toBeUndefined()
  })

  test('a rollback', () => {
    const guards = [...judge('rollback').values()]
    expect(guards.map(({ code }) => code)).toEqual(
      GUARD_CODES.filter((code) => !['backup', 'rights', 'parity', 'rehearsal'].includes(code)),
    )
    expect(refusing(guards)).toEqual([])
  })
})

type Row = readonly [
  what: string,
  passage: Passage,
  facts: Partial<GuardFacts>,
  code: string,
  value: Guard['value'],
  remedy: RegExp,
]

const BAD: readonly Row[] = [
  [
    'the first copy',
    'switchover',
    { phase: 'catching_up' },
    'phase',
    'catching_up, running',
    /phase replicating/,
  ],
  [
    'PostgreSQL leads already',
    'switchover',
    { phase: 'switched_over', authority: 'postgres' },
    'phase',
    'switched_over, running',
    /replicating/,
  ],
  [
    'SQLite leads',
    'rollback',
    { phase: 'replicating', authority: 'sqlite' },
    'phase',
    'replicating, running',
    /switched_over/,
  ],
  [
    'paused',
    'switchover',
    { state: 'paused', reasons: ['lunch'] },
    'phase',
    'replicating, paused',
    /lunch.*resume/,
  ],
  [
    'blocked',
    'rollback',
    { state: 'blocked', reasons: ['disk'] },
    'phase',
    'switched_over, blocked',
    /status \(disk\)/,
  ],
  ['lag', 'switchover', { lagSeconds: 5.0011 }, 'lag', 5.001, /lag --wait/],
  ['lag backwards', 'rollback', { lagSeconds: 60 }, 'lag', 60, /lag --wait/],
  ['no lag', 'switchover', { lagSeconds: { unmeasured: 'no answer' } }, 'lag', null, /no answer/],
  [
    'rows set aside',
    'switchover',
    {
      quarantine: [
        { table: 'dlq', rows: 2 },
        { table: 'articles', rows: 1 },
      ],
    },
    'quarantine',
    3,
    /dlq \(2\), articles \(1\) would stay behind/,
  ],
  [
    'rows set aside in SQLite',
    'rollback',
    { quarantine: [{ table: 'dlq', rows: 2 }] },
    'quarantine',
    2,
    /missing in SQLite/,
  ],
  [
    'dirty tables',
    'switchover',
    { drift: ['articles: the schema was changed'] },
    'drift',
    ['articles: the schema was changed'],
    /verify --repair/,
  ],
  [
    'an unsafe way back',
    'rollback',
    { unsafe: new Map([['ddl', 'a column was added']]) },
    'unsafe',
    ['ddl: a column was added'],
    /--override unsafe/,
  ],
  [
    'a trigger that is gone',
    'switchover',
    { capture: ['articles: no trigger'] },
    'capture',
    ['articles: no trigger'],
    /restart the daemon/,
  ],
  [
    'a trigger of PostgreSQL that is gone',
    'rollback',
    { capture: ['public.articles'] },
    'capture',
    ['public.articles'],
    /do not change/,
  ],
  ['no verify', 'switchover', { verify: { ...VERIFIED, state: 'none' } }, 'verify', 'none', /slipway verify/],
  [
    'verify runs',
    'switchover',
    { verify: { ...VERIFIED, state: 'running', finishedAt: null, equal: null } },
    'verify',
    'running',
    /Wait/,
  ],
  [
    'verify failed',
    'switchover',
    { verify: { ...VERIFIED, state: 'failed' } },
    'verify',
    'failed',
    /slipway verify/,
  ],
  [
    'verify found differences',
    'switchover',
    { verify: { ...VERIFIED, equal: false } },
    'verify',
    'different',
    /--repair/,
  ],
  [
    'verify of some tables',
    'switchover',
    { verify: { ...VERIFIED, tables: ['dlq'] } },
    'verify',
    ['articles was not compared'],
    /slipway verify/,
  ],
  [
    'verify is old',
    'switchover',
    { verify: { ...VERIFIED, finishedAt: '2026-05-01T10:59:59Z' } },
    'verify',
    3601,
    /VERIFY_MAX_AGE_SECONDS/,
  ],
  ['no backup', 'switchover', { backup: null }, 'backup', false, /--override backup/],
  [
    'a backup that is gone',
    'switchover',
    { backup: { path: '/b', at: '', exists: false, bytes: 0, bytesNoted: 10 } },
    'backup',
    '/b',
    /gone/,
  ],
  [
    'a backup that is shorter',
    'switchover',
    { backup: { path: '/b', at: '', exists: true, bytes: 9, bytesNoted: 10 } },
    'backup',
    '/b',
    /9 bytes and had 10/,
  ],
  [
    'a full disk',
    'rollback',
    {
      disks: [
        { path: '/data', freeBytes: 2 ** 20, neededBytes: 2 ** 27 },
        { path: '/state', freeBytes: 2 ** 40, neededBytes: 2 ** 27 },
      ],
    },
    'disk',
    ['/data: 1 MB free, 128 MB needed'],
    /Free/,
  ],
  [
    'a missing right',
    'switchover',
    { rights: ['GRANT TRIGGER ON TABLE public.articles TO news;'] },
    'rights',
    ['GRANT TRIGGER ON TABLE public.articles TO news;'],
    /superuser/,
  ],
  [
    'another constraint',
    'switchover',
    { parity: ['articles.title is NOT NULL in SQLite alone'] },
    'parity',
    ['articles.title is NOT NULL in SQLite alone'],
    /--override parity/,
  ],
  [
    'a value that does not come back',
    'switchover',
    {
      rehearsal: [
        { table: 'articles', column: 'rate', reason: 'NaN' },
        { table: 'dlq', column: '', reason: 'refused' },
      ],
    },
    'rehearsal',
    ['articles.rate: NaN', 'dlq: refused'],
    /rehearsed/,
  ],
  [
    'a long transaction',
    'switchover',
    { target: { ...TARGET, transactions: [transaction({})] } },
    'transactions',
    ['psql as news (pid 7), idle in transaction, holds a lock on public.articles, for 9 s'],
    /pg_terminate_backend/,
  ],
  [
    'a transaction of unknown age',
    'rollback',
    {
      target: {
        ...TARGET,
        transactions: [
          transaction({ seconds: null, state: 'hidden', why: 'writes through the gate', tables: [] }),
        ],
      },
    },
    'transactions',
    ['psql as news (pid 7), hidden, writes through the gate, for an unknown time'],
    /pg_terminate_backend/,
  ],
  [
    'a prepared transaction',
    'rollback',
    { target: { ...TARGET, prepared: ['order-7'] } },
    'prepared',
    ['order-7'],
    /COMMIT PREPARED/,
  ],
  [
    'an unlogged table',
    'switchover',
    { target: { ...TARGET, unlogged: ['public.dlq'] } },
    'unlogged',
    ['public.dlq'],
    /ALTER TABLE public.dlq SET LOGGED/,
  ],
  ['no retention', 'switchover', { retentionSeconds: 59 }, 'retention', 59, /CHANGELOG_RETENTION_SECONDS=61/],
  [
    'orphans',
    'rollback',
    {
      foreignKeys: [
        { key: 'comments (article_id)', rows: 3 },
        { key: 'likes (a, b)', rows: 1 },
      ],
    },
    'foreign_keys',
    ['comments (article_id): 3', 'likes (a, b): 1'],
    /without their parents/,
  ],
  ['a hook', 'switchover', { hook: 'ended with 3' }, 'hook', 'ended with 3', /HOOK_COMMAND/],
]

describe('what is not well refuses', () => {
  test.for(BAD)('%s (%s)', ([, passage, facts, code, value, remedy]) => {
    const guards = [...judge(passage, facts).values()]
    expect(refusing(guards).map((guard) => guard.code)).toEqual([code])
    const guard = guards.find((each) => each.code === code)
    expect(guard?.value).toEqual(value)
    expect(guard?.remedy).toMatch(remedy)
    const refusal = refusalOf(guards, passage) as Failure
    expect([refusal.code, refusal.status, refusal.exit]).toEqual(['guards_refuse', 412, 1])
    expect(refusal.facts.guards).toBe(guards)
    expect(refusal.remedy).toBe(guard?.remedy)
  })

  test.for(BAD)('%s (%s), and a person says to go on', ([, passage, facts, code]) => {
    const firm = ['phase', 'capture', 'rights', 'drift'].includes(code)
    const guard = judge(passage, facts, { override: [code] }).get(code)
    expect([guard?.overridable, guard?.overridden]).toEqual([!firm, firm ? undefined : true])
  })

  test('several at once are all told', () => {
    const guards = [...judge('switchover', { hook: 'no', backup: null, lagSeconds: 99 }).values()]
    const refusal = refusalOf(guards, 'switchover') as Failure
    expect(refusal.message).toBe('switchover refused by lag, backup, hook')
    expect(refusal.remedy).toContain('slipway switchover --dry-run')
  })

  test('what could not be measured', () => {
    const unmeasured = { unmeasured: 'the server is gone' }
    const guards = judge('switchover', {
      quarantine: unmeasured,
      drift: unmeasured,
      capture: unmeasured,
      verify: unmeasured,
      backup: unmeasured,
      disks: unmeasured,
      rights: unmeasured,
      parity: unmeasured,
      rehearsal: unmeasured,
      target: unmeasured,
    })
    const refused = refusing([...guards.values()])
    expect(refused.map((guard) => guard.code)).toEqual([
      'quarantine',
      'drift',
      'capture',
      'verify',
      'backup',
      'disk',
      'rights',
      'parity',
      'rehearsal',
      'transactions',
      'prepared',
      'unlogged',
    ])
    expect(new Set(refused.map((guard) => guard.value))).toEqual(new Set([null]))
    expect(new Set(refused.map((guard) => guard.remedy))).toEqual(
      new Set(['It could not be measured: the server is gone']),
    )
  })
})

describe('limits', () => {
  test('what is at the limit holds', () => {
    const guards = judge('switchover', {
      lagSeconds: 5,
      retentionSeconds: 65,
      verify: { ...VERIFIED, finishedAt: '2026-05-01T11:00:00Z' },
      target: { ...TARGET, transactions: [transaction({ seconds: 2 })] },
    })
    expect(refusing([...guards.values()])).toEqual([])
    expect(guards.get('verify')?.value).toBe(3600)
  })

  test('a shorter pause waits for shorter transactions', () => {
    const target = { ...TARGET, transactions: [transaction({ seconds: 1.5 })] }
    expect(judge('rollback', { target }).get('transactions')?.ok).toBe(true)
    expect(judge('rollback', { target }, { max_pause_ms: 1000 }).get('transactions')).toMatchObject({
      ok: false,
      limit: 1000,
    })
  })

  test('a long pause is told and not refused', () => {
    expect(judge('switchover', {}, { max_pause_ms: 4500 }).get('pause')).toMatchObject({
      ok: true,
      value: 4500,
      limit: 5000,
      remedy: '',
    })
    const long = judge('switchover', {}, { max_pause_ms: 4501 }).get('pause')
    expect([long?.ok, long?.remedy]).toEqual([true, expect.stringMatching(/MAX_PAUSE_MS/)])
  })

  test('long lists are cut', () => {
    const capture = Array.from({ length: 25 }, (_, n) => `t${n}`)
    const value = judge('switchover', { capture }).get('capture')?.value as string[]
    expect([value.length, value.at(-1)]).toEqual([21, 'and 5 more'])
  })
})

describe('verify in the words of the request', () => {
  test('none is an override that is told', () => {
    const guard = judge('switchover', { verify: { ...VERIFIED, equal: false } }, { verify: 'none' }).get(
      'verify',
    )
    expect(guard).toMatchObject({ ok: false, overridden: true, value: 'different' })
    expect(judge('switchover', {}, { verify: 'none' }).get('verify')).not.toHaveProperty('overridden')
  })

  test('full is one that began after it was asked for', () => {
    const before = judge('switchover', {}, { verify: 'full' }).get('verify')
    expect([before?.ok, before?.value]).toEqual([false, 'earlier'])
    const verify = {
      ...VERIFIED,
      startedAt: new Date(NOW - 500).toISOString(),
      finishedAt: new Date(NOW).toISOString(),
    }
    expect(judge('switchover', { verify }, { verify: 'full' }).get('verify')?.ok).toBe(true)
  })

  test('backwards nothing has to be compared, unless it is asked for or differs', () => {
    expect(judge('rollback').get('verify')).toMatchObject({ ok: true, value: null })
    expect(judge('rollback', {}, { verify: 'full' }).get('verify')?.ok).toBe(false)
    expect(judge('rollback', { verify: { ...VERIFIED, equal: false } }).get('verify')?.ok).toBe(false)
  })
})

describe('foreign keys that were broken before', () => {
  test('are noted with the switchover, and held against the rollback', () => {
    const foreignKeys = [
      { key: 'comments (article_id)', rows: 3 },
      { key: 'odd: name (a, b)', rows: 1 },
    ]
    const guards = [...judge('switchover', { foreignKeys, foreignKeysBefore: null }).values()]
    expect(refusing(guards)).toEqual([])
    const before = orphansOf({ guards })
    expect(before).toEqual(foreignKeys)
    expect(judge('rollback', { foreignKeys, foreignKeysBefore: before }).get('foreign_keys')?.ok).toBe(true)
    expect(judge('rollback', { foreignKeys, foreignKeysBefore: null }).get('foreign_keys')?.ok).toBe(false)
    expect(orphansOf({ guards: [] })).toBeNull()
  })
})

describe('force', () => {
  const gone = { unmeasured: 'the server is gone' }
  const facts: Partial<GuardFacts> = {
    phase: 'switched_over',
    state: 'blocked',
    lagSeconds: gone,
    drift: gone,
    capture: gone,
    target: gone,
  }

  test('overrides what only PostgreSQL could answer, and tells it', () => {
    const guards = judge('rollback', facts, { force: true })
    expect(refusing([...guards.values()])).toEqual([])
    const told = [...guards.values()].filter((guard) => guard.overridden).map((guard) => guard.code)
    expect(told).toEqual(['lag', 'drift', 'capture', 'transactions', 'prepared', 'unlogged'])
  })

  test('does not override what was measured', () => {
    const guards = judge(
      'rollback',
      { ...facts, foreignKeys: [{ key: 'x (y)', rows: 1 }], authority: 'sqlite' },
      { force: true },
    )
    expect(refusing([...guards.values()]).map((guard) => guard.code)).toEqual(['phase', 'foreign_keys'])
  })
})

describe('overrides', () => {
  test('a guard that does not exist', () => {
    expect(() => checkOverrides(['verify', 'bakcup'])).toThrow(
      expect.objectContaining({ code: 'unknown_guard', status: 422, exit: 2 }),
    )
  })

  test.for(['phase', 'capture', 'rights', 'drift'])('%s belongs to nobody', (code) => {
    expect(() => checkOverrides(['verify', code])).toThrow(
      expect.objectContaining({
        code: 'not_overridable',
        status: 412,
        message: expect.stringContaining(`${code} cannot`),
      }),
    )
  })

  test('the others', () => {
    const others = GUARD_CODES.filter((code) => !['phase', 'capture', 'rights', 'drift'].includes(code))
    expect(() => checkOverrides(others)).not.toThrow()
  })
})

describe('the predicted pause', () => {
  const facts = healthy('switchover')
  const rows: [what: string, change: Partial<GuardFacts>, ms: number | null][] = [
    // 0.3 lock + 10 batch + 12 × 0.5 + 2 × 3.5 + 15
    ['as measured', {}, 39],
    ['backwards nothing is brought back', { passage: 'rollback' }, 32],
    ['a lock that is fought for', { lockMs: 200 }, 238],
    ['more than one batch', { pace: { batchSeconds: 0.01, pending: 10_001, batchChanges: 5000 } }, 59],
    ['no batch was seen', { pace: { batchSeconds: null, pending: 0, batchChanges: 5000 } }, 49],
    ['the lock is not known', { lockMs: { unmeasured: 'x' } }, null],
    ['the server is not known', { target: { unmeasured: 'x' } }, null],
  ]
  test.for(rows)('%s', ([, change, ms]) => {
    expect(predictPause({ ...facts, ...change })).toBe(ms)
  })
})
