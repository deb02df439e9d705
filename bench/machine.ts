/** The facts without which a figure means nothing. */
import { execFile } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { version } from '../src/version.ts'
import type { Machine } from './report.ts'
import type { Stage } from './stage.ts'

export async function machineFacts(stage: Stage): Promise<Machine> {
  const sqlite = new Database(':memory:')
  const sqliteVersion = sqlite.prepare('SELECT sqlite_version()').pluck().get() as string
  sqlite.close()
  return {
    processor: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GB`,
    system: `${type()} ${release()}`,
    slipway: version(),
    node: process.version,
    sqlite: sqliteVersion,
    postgres: await stage.serverVersion(),
    psql: await psqlVersion(),
    load: `${loadavg()[0]?.toFixed(2)} before the first question (one minute)`,
    at: new Date().toISOString(),
  }
}

async function psqlVersion(): Promise<string> {
  return (await hasPsql()) ?? 'not on the PATH'
}

/** The version of psql; undefined where there is none. */
export async function hasPsql(): Promise<string | undefined> {
  try {
    return (await promisify(execFile)('psql', ['--version'])).stdout.trim()
  } catch {
    return undefined
  }
}
