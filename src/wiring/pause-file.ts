import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const NAME = 'pause.json'

/** A pause that a person asked for outlives the daemon: supervisors start it again without asking anybody. */
export function rememberPause(stateDir: string, reasons: readonly string[]): void {
  mkdirSync(stateDir, { recursive: true })
  const path = join(stateDir, NAME)
  writeFileSync(`${path}.new`, JSON.stringify({ reasons }))
  renameSync(`${path}.new`, path)
}

export function forgetPause(stateDir: string): void {
  rmSync(join(stateDir, NAME), { force: true })
}

/** Reasons of an earlier run; none where there is no such file, or one that cannot be read. */
export function readPause(stateDir: string): readonly string[] {
  try {
    const { reasons } = JSON.parse(readFileSync(join(stateDir, NAME), 'utf8')) as { reasons: unknown }
    return Array.isArray(reasons) ? reasons.filter((reason) => typeof reason === 'string') : []
  } catch {
    return []
  }
}
