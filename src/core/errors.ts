/**
 * Every failure that a person may see: what it is about, why, and what to do.
 * `policy` decides what the loops do with it; `exit` what the process ends with.
 * Codes are stable: people script against them.
 */

/** What a loop does with a failure: try again by itself, stop and wait for a person, or stop for good. */
export type Policy = 'transient' | 'person' | 'never'

/** Exit codes of the contract: 1 failed or refused, 2 usage or configuration, 3 data or environment, 5 no daemon. */
export type ExitCode = 1 | 2 | 3 | 5

export interface FailureDetails {
  /** Stable, `snake_case`. */
  readonly code: string
  /** One sentence that names the thing and the reason. */
  readonly message: string
  /** One sentence that says what to do. */
  readonly remedy?: string
  readonly policy?: Policy
  readonly exit?: ExitCode
  /** Status of the HTTP answer when the failure ends a request. */
  readonly status?: number
  readonly cause?: unknown
  /** Machine-readable facts (table, column, key, limits): never a secret. */
  readonly facts?: Readonly<Record<string, unknown>>
}

/** A failure with a remedy. Anything else that is thrown is a defect and is shown with its stack. */
export class Failure extends Error {
  readonly code: string
  readonly remedy: string | undefined
  readonly policy: Policy
  readonly exit: ExitCode
  readonly status: number
  readonly facts: Readonly<Record<string, unknown>>

  constructor(details: FailureDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'Failure'
    this.code = details.code
    this.remedy = details.remedy
    this.policy = details.policy ?? 'person'
    this.exit = details.exit ?? 3
    this.status = details.status ?? 500
    this.facts = details.facts ?? {}
  }
}

/** The policy for anything thrown: an unknown error needs a person, since a blind retry may hide it. */
export function policyOf(error: unknown): Policy {
  return error instanceof Failure ? error.policy : 'person'
}

/** The sentence of anything thrown, without its stack. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0) {
    return messageOf(error.errors[0])
  }
  return error instanceof Error ? error.message : String(error)
}
