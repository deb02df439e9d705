import type { Knex } from 'knex'
import * as base from './0001_base.ts'
import * as verify from './0002_verify.ts'
import * as switchover from './0003_switchover.ts'

/** Slipway's own migrations by name. The names have no extension, so that sources and package agree on them. */
export const MIGRATIONS: Readonly<Record<string, Knex.Migration>> = {
  '0001_base': base,
  '0002_verify': verify,
  '0003_switchover': switchover,
}
