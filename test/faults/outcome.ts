/** What becomes of one attempt to write on one engine. */
import type { Engine } from './history.ts'
import type { Write } from './operations.ts'

export type Outcome =
  | { readonly kind: 'acknowledged'; readonly epoch: number }
  /** The entry was there already: an attempt whose answer was lost had landed. */
  | { readonly kind: 'there'; readonly epoch: number; readonly engine: Engine }
  /** The documented answer of the side that does not lead. */
  | { readonly kind: 'fenced'; readonly message: string }
  /** Serialization failure or deadlock: nothing has happened. */
  | { readonly kind: 'again'; readonly message: string }
  /** The engine does not answer. */
  | { readonly kind: 'unreachable'; readonly message: string; readonly doubt: boolean }
  /** The busy timeout has passed. */
  | { readonly kind: 'busy'; readonly message: string; readonly doubt: boolean }
  | { readonly kind: 'full'; readonly message: string; readonly doubt: boolean }
  /** Nothing that an application should ever see. */
  | { readonly kind: 'wrong'; readonly message: string }

export interface Hand {
  write(write: Write): Promise<Outcome>
  close(): Promise<void>
}
