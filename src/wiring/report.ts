/**
 * The proof of a migration as Markdown, for the people who were not there: what was moved, how it was compared, who
 * led when, how long writers waited and what was overridden. Built from facts alone.
 */
import type { Authority, Phase, VerifyReport } from '../core/operator.ts'
import type { Guard, SwitchRun } from '../core/switch-run.ts'

export interface ReportFacts {
  readonly migration: string
  /** ISO 8601: when the report was made. */
  readonly at: string
  /** `user@host` of the daemon that made it. */
  readonly by: string
  readonly versions: {
    readonly slipway: string
    readonly node: string
    /** Of slipway's own build. */
    readonly sqlite: string
    readonly postgres: string
  }
  readonly source: { readonly path: string }
  /** For people: without a password. */
  readonly target: { readonly server: string; readonly schema: string }
  readonly phase: Phase
  readonly authority: Authority
  readonly epoch: number
  /** ISO 8601. */
  readonly since: string | null
  readonly copy: {
    readonly startedAt: string | null
    readonly finishedAt: string | null
  }
  readonly tables: readonly {
    readonly table: string
    readonly target: string
    /** Rows of the first copy. */
    readonly copied: number
    /** Rows that are set aside now. */
    readonly aside: number
  }[]
  readonly backup: { readonly path: string; readonly bytes: number; readonly at: string } | null
  /** Newest first. */
  readonly verifies: readonly VerifyReport[]
  /** Newest first; `by` is whoever asked, where that is known. */
  readonly runs: readonly { readonly run: SwitchRun; readonly by: string | null }[]
  readonly history: {
    readonly on: boolean
    /** Earliest position that can be rebuilt. */
    readonly from: string | null
    readonly entries: number
  }
  readonly warnings: readonly string[]
}

export function buildReport(facts: ReportFacts): string {
  const parts = [
    heading(facts),
    tables(facts),
    verifies(facts),
    switches(facts),
    backup(facts),
    history(facts),
    warnings(facts),
    versions(facts),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function heading(facts: ReportFacts): string {
  const { migration, source, target, phase, authority, epoch, since, at, by, copy } = facts
  const leads =
    authority === 'none' ? 'nobody: a switchover is undecided' : `${ENGINES[authority]}, epoch ${epoch}`
  return [
    `# Migration ${text(migration)}`,
    '',
    ...table(
      ['', ''],
      [
        ['report', `${moment(at)}, by ${text(by)}`],
        ['source', code(source.path)],
        ['target', `${text(target.server)}, schema ${code(target.schema)}`],
        ['phase', phase],
        ['leads', `${leads}${since === null ? '' : `, since ${moment(since)}`}`],
        ['first copy', copyTimes(copy)],
      ],
    ),
  ].join('\n')
}

function copyTimes({ startedAt, finishedAt }: ReportFacts['copy']): string {
  if (startedAt === null) return 'not begun'
  if (finishedAt === null) return `begun ${moment(startedAt)}`
  const seconds = (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000
  return `${moment(startedAt)}, ${amount(Math.round(seconds * 10) / 10)} s`
}

function tables({ tables, verifies }: ReportFacts): string {
  const compared = verifies.find((verify) => verify.state === 'done')
  const rows = tables.map((one) => {
    const found = compared?.tables.find((table) => table.table === one.table)
    const wrong = found === undefined ? 0 : found.missing + found.extra + found.different
    const left = found === undefined ? 0 : wrong - found.repaired
    const told =
      found === undefined
        ? 'not compared'
        : wrong === 0
          ? 'equal'
          : left <= 0
            ? `${amount(wrong)} repaired`
            : `**${amount(left)} differ**`
    return [
      code(one.table),
      code(one.target),
      amount(one.copied),
      found === undefined ? '' : amount(found.rows_compared),
      told,
      amount(one.aside),
    ]
  })
  const sum = (of: (one: ReportFacts['tables'][number]) => number): string =>
    amount(tables.reduce((all, one) => all + of(one), 0))
  return section('Rows', [
    ...table(
      ['table', 'in PostgreSQL', 'copied first', 'compared last', 'result', 'set aside'],
      [...rows, ['**all**', '', sum((one) => one.copied), '', '', sum((one) => one.aside)]],
      [2, 3, 5],
    ),
  ])
}

function verifies({ verifies }: ReportFacts): string {
  if (verifies.length === 0) return section('Verify', ['Source and target were never compared.'])
  const rows = verifies.map((verify) => [
    verify.started_at === null ? '' : moment(verify.started_at),
    text(verify.reason),
    verify.state,
    amount(verify.rows_compared),
    amount(verify.mismatched),
    amount(verify.repaired),
    verify.equal === null ? '' : verify.equal ? 'yes' : '**no**',
  ])
  return section('Verify', [
    'Every row, column by column, under live writes; see docs/verify.md.',
    '',
    ...table(['begun', 'why', 'state', 'rows', 'differed', 'repaired', 'equal'], rows, [3, 4, 5]),
  ])
}

function switches({ runs }: ReportFacts): string {
  if (runs.length === 0) return section('Changes of authority', ['There was none.'])
  const rows = runs.map(({ run, by }) => [
    run.started_at === null ? '' : moment(run.started_at),
    `${run.passage}${run.forced ? ', forced' : ''}`,
    run.state === 'done' ? `done, epoch ${run.epoch}` : run.state,
    run.pause_ms === null ? '' : `${amount(run.pause_ms)} ms`,
    run.drained_changes === null ? '' : amount(run.drained_changes),
    by === null ? '' : text(by),
    run.overrides.map(code).join(', '),
  ])
  const done = runs.filter(({ run }) => run.state === 'done' && run.pause_ms !== null)
  const pauses = done.map(({ run }) => run.pause_ms as number).toSorted((a, b) => a - b)
  const longest = pauses.at(-1)
  const notes = runs.flatMap(({ run }) => reasons(run))
  return section('Changes of authority', [
    ...(longest === undefined
      ? []
      : [
          `Writers waited ${amount(pauses[Math.floor((pauses.length - 1) / 2)] as number)} ms in the middle, ${amount(longest)} ms at the longest, in ${pauses.length} ${pauses.length === 1 ? 'change' : 'changes'}.`,
          '',
        ]),
    ...table(['when', 'what', 'end', 'pause', 'drained', 'asked by', 'overridden'], rows, [3, 4]),
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ])
}

/** Why it did not come to it, and what a person answered for. */
function reasons(run: SwitchRun): string[] {
  const when = run.started_at === null ? run.passage : `${run.passage} of ${moment(run.started_at)}`
  const lines = run.reason === null ? [] : [`- ${when}: ${text(run.reason)}`]
  for (const guard of run.guards.filter((guard) => guard.overridden === true))
    lines.push(`- ${when}, overridden: ${code(guard.code)} was ${text(shown(guard))}`)
  return lines
}

function shown({ value, limit }: Guard): string {
  const found = value === null ? 'not measured' : Array.isArray(value) ? value.join('; ') : String(value)
  return limit === null ? found : `${found} (limit ${limit})`
}

function backup({ backup }: ReportFacts): string {
  if (backup === null) return section('Backup', ['**None was made.**'])
  const { path, bytes, at } = backup
  return section('Backup', [`${code(path)}, ${amount(bytes)} bytes, checked, of ${moment(at)}.`])
}

function history({ history }: ReportFacts): string {
  if (!history.on) return section('Event history', ['Off.'])
  const from =
    history.from === null ? 'no state can be rebuilt yet' : `states from ${history.from} on can be rebuilt`
  return section('Event history', [`On: ${amount(history.entries)} entries; ${from} (slipway replay).`])
}

function warnings({ warnings }: ReportFacts): string {
  return warnings.length === 0
    ? ''
    : section(
        'Warnings',
        warnings.map((line) => `- ${text(line)}`),
      )
}

function versions({ versions }: ReportFacts): string {
  return section(
    'Versions',
    table(
      ['slipway', 'Node', 'SQLite of slipway', 'PostgreSQL'],
      [[versions.slipway, versions.node, versions.sqlite, versions.postgres].map(text)],
    ),
  )
}

const ENGINES = { sqlite: 'SQLite', postgres: 'PostgreSQL' } as const

function section(title: string, lines: readonly string[]): string {
  return [`## ${title}`, '', ...lines].join('\n')
}

/** `right`: columns of numbers. */
function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    line(head),
    line(head.map((_, index) => (right.includes(index) ? '---:' : '---'))),
    ...rows.map(line),
  ]
}

/** Names and reasons come from elsewhere: nothing in them may look like Markdown or HTML. */
function text(words: string): string {
  return words.replace(/\p{Cc}+/gu, ' ').replace(/[\\`*_{}[\]<>#|]/g, '\\$&')
}

function code(words: string): string {
  const clean = words.replace(/\p{Cc}+/gu, ' ').replaceAll('|', '\\|')
  return clean.includes('`') ? `\`\` ${clean} \`\`` : `\`${clean}\``
}

/** `2026-05-01 12:00:00 UTC`. */
function moment(iso: string): string {
  return `${iso.slice(0, 19).replace('T', ' ')} UTC`
}

function amount(number: number): string {
  return number.toLocaleString('en-US')
}
