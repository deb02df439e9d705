/** What `status` tells, as lines for people, and which command usually follows. */
import type { StatusReport } from '../core/operator.ts'
import { parsePgSnapshot } from '../core/pg-snapshot.ts'
import { bytes, commandLine, commandsIn, count, duration, printable, table } from './format.ts'
import { runLine, stepLine } from './switch-report.ts'
import { verifyLine } from './verify-report.ts'

type Fact = readonly [name: string, value: string]

export function statusLines(status: StatusReport, env: NodeJS.ProcessEnv): string[] {
  const facts = [...migration(status), ...places(status), ...state(status, env), ...troubles(status, env)]
  return [
    ...facts.map(([name, value]) => `${name.padEnd(10)}  ${value}`),
    ...steps(status),
    ...checklist(status, env),
    '',
    ...table(['table', 'state', 'copied', 'expected', 'rows/s', 'left'], status.tables.map(tableCells)),
  ]
}

/** The command that usually follows, by the phase and by what is in the way. */
export function followUp(status: StatusReport, env: NodeJS.ProcessEnv): string {
  const command = (name: string, ...args: string[]) => commandLine(env, name, ...args)
  const { phase, authority, fences, caught_up: caughtUp } = status
  if (status.state === 'paused') return command('replication', 'resume')
  if (fences.some((fence) => fence.engine === authority && fence.closed && fence.until !== null)) {
    return command('writes', 'resume')
  }
  if (phase === 'finalized') return command('report')
  if (phase === 'snapshotting' || phase === 'switching_over' || phase === 'rolling_back') {
    return command('status', '--watch')
  }
  if (!caughtUp) return command('lag', '--wait')
  const next = status.checklist.find(({ done }) => !done)
  if (next !== undefined) return commandsIn(next.command, env)
  return phase === 'replicating' ? command('switchover', '--dry-run') : command('report')
}

/** `sqlite closed until …: backup`. */
export function fenceLine({ engine, closed, reasons, until }: StatusReport['fences'][number]): string {
  const end = until === null ? '' : `, opens by itself at ${until}`
  const why = reasons.length > 0 ? ` (${reasons.map(printable).join('; ')})` : ''
  return `${engine} ${closed ? 'closed' : 'open'}${end}${why}`
}

function migration(status: StatusReport): Fact[] {
  const { authority, epoch, authority_since: since, direction } = status
  const reasons = status.reasons.length > 0 ? ` (${status.reasons.join('; ')})` : ''
  const phase = `${status.migration}, ${status.phase.replaceAll('_', ' ')}, ${status.state}${reasons}`
  const back = direction === 'reverse' ? '; changes go back to SQLite' : ''
  return [
    ['migration', phase],
    ['authority', `${authority} (epoch ${epoch}${since === null ? '' : `, since ${since}`})${back}`],
    ['lag', lag(status)],
    ['position', `${position(status.applied)} applied of ${position(status.head)}`],
  ]
}

function places({ source, target, holder, snapshot, backup }: StatusReport): Fact[] {
  const kept = count(source.changelog_rows, 'change')
  const facts: Fact[] = [
    ['source', `${source.path}, ${source.journal_mode}, WAL ${bytes(source.wal_bytes)}, ${kept} kept`],
    ['target', `${target.server}, schema ${target.schema}, PostgreSQL ${target.server_version}`],
    ['holder', `${holder.id}${holder.mine ? ', this daemon' : ', another daemon'}`],
  ]
  if (snapshot !== null) {
    facts.push(['snapshot', `${count(snapshot.rows, 'row')}, ${snapshot.finished_at ?? 'not finished'}`])
  }
  if (backup !== null) facts.push(['backup', `${backup.path}, ${bytes(backup.bytes)}, ${backup.at}`])
  return facts
}

function state(status: StatusReport, env: NodeJS.ProcessEnv): Fact[] {
  const facts: Fact[] = status.fences.map((fence) => ['fence', fenceLine(fence)])
  if (status.switchover !== null) facts.push(['last run', runLine(status.switchover)])
  if (status.switchover?.remedy) facts.push(['remedy', printable(commandsIn(status.switchover.remedy, env))])
  const safe = status.rollback_safe
  if (safe !== null) {
    facts.push(['rollback', safe.safe ? 'safe' : `not safe: ${safe.reasons.map(printable).join('; ')}`])
  }
  for (const { what, since, until } of status.waits) {
    facts.push(['waiting', `${what}, since ${since}${until ? `, until ${until}` : ''}`])
  }
  if (status.verify !== null) facts.push(['verify', verifyLine(status.verify)])
  return facts
}

function troubles(status: StatusReport, env: NodeJS.ProcessEnv): Fact[] {
  const { last_error: error } = status
  const facts: Fact[] = status.dirty.map(({ table, reason }) => ['dirty', `${table}: ${reason}`])
  if (status.quarantined > 0) {
    const command = commandLine(env, 'quarantine')
    facts.push(['quarantine', `${count(status.quarantined, 'row')} set aside; ${command} lists them`])
  }
  for (const warning of status.warnings) facts.push(['warning', warning])
  if (error !== null) facts.push(['last error', `${error.message} (${error.code}, ${error.at})`])
  if (error?.remedy) facts.push(['remedy', error.remedy])
  return facts
}

/** While a run goes on; afterwards its one line is enough. */
function steps({ switchover }: StatusReport): string[] {
  return switchover?.state === 'running' ? ['', ...switchover.steps.map(stepLine)] : []
}

function checklist({ checklist: items }: StatusReport, env: NodeJS.ProcessEnv): string[] {
  if (items.length === 0) return []
  const rows = items.map(({ step, done, command }) => [
    done ? '✓' : '·',
    printable(step),
    done ? '' : commandsIn(command, env),
  ])
  return ['', ...table(['', 'checklist', ''], rows)]
}

function tableCells(one: StatusReport['tables'][number]): string[] {
  return [
    one.target === one.table ? one.table : `${one.table} → ${one.target}`,
    one.state,
    count(one.rows_copied),
    count(one.rows_expected),
    one.rows_per_second === null ? '' : count(one.rows_per_second),
    one.eta_seconds === null ? '' : duration(one.eta_seconds),
  ]
}

function lag({ lag_seconds: seconds, pending_changes: pending, caught_up: caughtUp }: StatusReport): string {
  if (seconds === null) return 'not known before the snapshot'
  return `${duration(seconds)}, ${count(pending, 'change')} to apply${caughtUp ? ', caught up' : ''}`
}

/** A number forward; on the way back a snapshot of PostgreSQL, whose list of open transactions may be long. */
function position(value: StatusReport['head']): string {
  const snapshot = parsePgSnapshot(String(value))
  if (snapshot === undefined) return value === null ? '–' : String(value)
  const open = snapshot.open.size === 0 ? '' : ` (${count(snapshot.open.size)} open)`
  return `transaction ${snapshot.xmax}${open}`
}
