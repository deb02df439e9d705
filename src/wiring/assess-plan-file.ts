import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { PlanFile } from '../core/plan-file.ts'

/** Throws where a plan is there that a person wrote or edited: it is not to be lost by the way. */
export function refuseEditedPlan(config: Config): void {
  if (!existsSync(config.planFile)) return
  const note = notePath(config)
  const written = existsSync(note) ? readFileSync(note, 'utf8').trim() : ''
  if (written === hash(readFileSync(config.planFile, 'utf8'))) return
  throw new Failure({
    code: 'plan_edited',
    exit: 1,
    message: `${config.planFile} was written or edited by a person, and is left as it is`,
    remedy: 'Say --force to write it anew, or name another place: PLAN_FILE=other.plan.json',
  })
}

/** Replaces the file at once, and notes what was written, so that an edit is noticed. */
export function writePlan(config: Config, plan: PlanFile): void {
  const text = `${JSON.stringify(plan, null, 2)}\n`
  mkdirSync(dirname(config.planFile), { recursive: true })
  mkdirSync(config.stateDir, { recursive: true })
  const draft = `${config.planFile}.${process.pid}.draft`
  writeFileSync(draft, text)
  renameSync(draft, config.planFile)
  writeFileSync(notePath(config), `${hash(text)}\n`)
}

/** One note for each plan: several may share a STATE_DIR. */
function notePath(config: Config): string {
  return join(config.stateDir, `plan-${hash(config.planFile).slice(0, 8)}.sha256`)
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
