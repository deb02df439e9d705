/**
 * Who leads. Both engines note it; PostgreSQL's control row is the decision. What the two notes say together after a
 * crash tells what is left to do.
 */
import type { Authority, Phase } from './operator.ts'

/** What one engine has noted. SQLite's `none` is a fence that was raised for a decision which is not known there yet. */
export interface Notes {
  readonly authority: Authority
  /** Raised at each change of authority. SQLite's fence for epoch e + 1 already says e + 1. */
  readonly epoch: number
  /** Number of the attempt that wrote this; never used twice in an epoch. */
  readonly attempt: number
}

/**
 * PostgreSQL's control row, as far as it decides. The decision of a rollback leaves phase `rolling_back`, until its holder
 * has seen that SQLite settled.
 */
export interface ControlNotes extends Notes {
  readonly phase: Phase
}

/** A file of which slipway has noted nothing yet. */
export const FIRST_NOTES: Notes = { authority: 'sqlite', epoch: 1, attempt: 0 }

/** The change of authority that is meant: forward to PostgreSQL, or back to SQLite. */
export type Passage = 'switchover' | 'rollback'

export type Standing =
  /** SQLite leads. `behind`: PostgreSQL was put back and has to learn SQLite's epoch first. */
  | { readonly kind: 'sqlite'; readonly behind: boolean }
  /** PostgreSQL leads. */
  | { readonly kind: 'postgres' }
  /** Begun and not decided, as far as the notes show. Reading decides nothing: it is undone by compare-and-set. */
  | { readonly kind: 'undecided'; readonly passage: Passage }
  /** PostgreSQL has decided, and SQLite has not noted it: it can only be finished. */
  | { readonly kind: 'decided'; readonly passage: Passage }
  /** No crash leads here: a server or a file was put back. Both are fenced, and a person decides (trap H15). */
  | { readonly kind: 'divided'; readonly reason: string; readonly remedy: string }

const RECOVER =
  'Find out which side has the newest writes, then with the daemon stopped: slipway recover --authority sqlite|postgres --accept-loss'

/** What the two notes say together. Pure; every pair has an answer. */
export function standingOf(sqlite: Notes, postgres: ControlNotes): Standing {
  const { epoch: s } = sqlite
  const { epoch: p } = postgres
  const divided = (reason: string): Standing => ({ kind: 'divided', reason, remedy: RECOVER })
  const told = `SQLite notes ${sqlite.authority} in epoch ${s}, PostgreSQL ${postgres.authority} in epoch ${p}`
  if (sqlite.authority === 'none') {
    if (postgres.authority === 'sqlite' && p === s - 1) return { kind: 'undecided', passage: 'switchover' }
    if (postgres.authority === 'postgres' && p === s) return { kind: 'decided', passage: 'switchover' }
    return divided(`${told}: one of the two was put back`)
  }
  if (sqlite.authority === 'sqlite') {
    if (postgres.authority === 'sqlite' && p === s) {
      return postgres.phase === 'switching_over'
        ? { kind: 'undecided', passage: 'switchover' }
        : { kind: 'sqlite', behind: false }
    }
    // Nobody could write there since: its own row says that SQLite leads.
    if (postgres.authority === 'sqlite' && p < s) return { kind: 'sqlite', behind: true }
    if (p > s) return divided(`${told}: the file was put back to an older copy`)
    return divided(`${told}: the server was put back, or has come back after a forced rollback`)
  }
  if (postgres.authority === 'postgres' && p === s) {
    return postgres.phase === 'rolling_back'
      ? { kind: 'undecided', passage: 'rollback' }
      : { kind: 'postgres' }
  }
  if (postgres.authority === 'sqlite' && p === s + 1) {
    // The phase stays until SQLite has settled: after that, such a note is one of an older copy of the file.
    return postgres.phase === 'rolling_back'
      ? { kind: 'decided', passage: 'rollback' }
      : divided(`${told}, and the rollback was settled since: the file was put back to an older copy`)
  }
  return divided(
    p < s
      ? `${told}: the server was put back to an older state`
      : `${told}: the file was put back to an older copy`,
  )
}
