/** Work that touches no database. */

import type { Work } from '../../src/cli/work.ts'
import type { Assessment } from '../../src/core/assess/assessment.ts'
import { Failure } from '../../src/core/errors.ts'
import { sleep } from '../../src/runtime/retry.ts'
import { FakeOperator, STATUS } from '../api/fake-operator.ts'

export interface Fixture {
  readonly journalMode?: string
  /** Thrown by whatever runs. */
  readonly fails?: 'failure' | 'defect'
  /** Copies until it is stopped. */
  readonly endless?: boolean
  /** Does not stop when asked to. */
  readonly deaf?: boolean
  readonly already?: boolean
}

const ASSESSMENT: Assessment = {
  summary: { blocks: 1, warns: 1, info: 1, tables: 1, rows: 12_345, bytes: 1_000_000, estimatedSeconds: 3 },
  source: {
    path: '/srv/news.db',
    bytes: 2_000_000,
    walBytes: 0,
    pageSize: 4096,
    freePages: 0,
    journalMode: 'wal',
    encoding: 'UTF-8',
    autoVacuum: 'none',
    userVersion: '0',
    applicationId: '0',
    sqliteVersion: '3.54.0',
    writerVersion: '3.40.1',
    writerBug: undefined,
    captured: false,
  },
  target: null,
  tables: [],
  findings: [
    {
      code: 'text_nul',
      severity: 'blocks',
      table: 'articles',
      column: 'body',
      count: 2,
      examples: ['id=7', 'id=9'],
      message: '2 texts have a NUL character',
      remedy: 'Decide in the plan.',
    },
    { code: 'no_view', severity: 'warns', message: 'a view stays behind' },
    { code: 'strict_table', severity: 'info', table: 'articles', message: 'it is STRICT' },
  ],
  sentence: 'Moves in about 3 s; 1 column needs a decision.',
  plan: null,
}

function failIfAsked(fixture: Fixture, postgresUrl: string): void {
  if (fixture.fails === 'failure') {
    const message = `server at ${postgresUrl} refuses`
    throw new Failure({ code: 'refused_by_server', message, remedy: 'Ask it nicely.', exit: 3 })
  }
  if (fixture.fails === 'defect') throw new TypeError('undefined is not a function')
}

/** Hears no signal. */
const forever = () => new Promise<never>(() => setInterval(() => {}, 1000))

export function fixtureWork(fixture: Fixture): Work {
  return {
    async assess(config, { writePlan, observer }) {
      failIfAsked(fixture, config.postgresUrl)
      observer.step('looking at the values')
      return { ...ASSESSMENT, plan: writePlan ? { path: config.planFile, written: true } : null }
    },
    async snapshot(config, { observer, signal, enableWal }) {
      failIfAsked(fixture, config.postgresUrl)
      observer.step('backup')
      const table = { ...STATUS.tables[1]!, rows_copied: 0 }
      observer.copied(table)
      if (fixture.endless) {
        observer.step('copying')
        await (fixture.deaf ? forever() : sleep(60_000, signal))
        signal.throwIfAborted()
      }
      observer.copied({ ...table, state: 'copied', rows_copied: 200 })
      return {
        already: fixture.already ?? false,
        tables: [{ table: 'articles', target: 'articles', rows: 12_345 }],
        rows: 12_345,
        seconds: 1.5,
        backupPath: '/srv/backup.db',
        s0: 7,
        warnings: enableWal ? ['switched to WAL'] : [],
      }
    },
    async rehearse(config, { observer, signal }) {
      failIfAsked(fixture, config.postgresUrl)
      observer.step('copying the file')
      if (fixture.endless) await sleep(60_000, signal)
      signal.throwIfAborted()
      return {
        tables: [{ table: 'articles', target: 'articles', rows: 12_345, aside: 1, seconds: 1 }],
        rows: 12_345,
        steps: [
          { step: 'file', seconds: 0.25 },
          { step: 'copy', seconds: 1 },
          { step: 'verify', seconds: 2 },
        ],
        seconds: 3.5,
        findings: [
          { code: 'check_left_out', severity: 'warns', message: 'a CHECK is not carried over' },
          { code: 'good_to_know', severity: 'info', message: 'not worth a line' },
        ],
      }
    },
    async schemaSql(config) {
      failIfAsked(fixture, config.postgresUrl)
      return "BEGIN;\n-- it's all there\nCOMMIT;\n"
    },
    daemon(config, { observer }) {
      const failed = Promise.withResolvers<never>()
      const operator = new FakeOperator()
      return {
        operator,
        async start() {
          observer.phase('replicating', 'new')
          if (!fixture.fails) return
          setTimeout(() => {
            try {
              failIfAsked(fixture, config.postgresUrl)
            } catch (error) {
              failed.reject(error)
            }
          }, 50)
        },
        async stop() {
          if (fixture.deaf) await forever()
          observer.step('daemon stopped')
        },
        failed: failed.promise,
      }
    },
    journalMode: async () => fixture.journalMode ?? 'wal',
    async uninstall(config) {
      failIfAsked(fixture, config.postgresUrl)
      return { sqlite: ['table _slipway_changelog'], postgres: ['schema slipway'], warnings: [] }
    },
    async recover(config, { authority }) {
      failIfAsked(fixture, config.postgresUrl)
      return {
        authority,
        epoch: 3,
        done: [`${authority} takes the writes`],
        warnings: ['PostgreSQL did not answer: it is not closed'],
      }
    },
    async replay(config, { at, into }) {
      failIfAsked(fixture, config.postgresUrl)
      return {
        position: Number(at),
        batch: Number(at),
        schema: into,
        tables: [{ table: 'articles', target: 'articles', rows: 12_345 }],
        rows: 12_345,
        seconds: 0.5,
        url: config.postgresUrl,
      }
    },
    async demo({ print }) {
      print('equal')
      return 0
    },
  }
}
