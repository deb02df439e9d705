import { join } from 'node:path'
import type { Config } from '../core/config.ts'
import { Connection, describeServer } from '../postgres/connection.ts'
import { Control, sessionName } from '../postgres/control.ts'
import { openEmbedded } from '../postgres/embedded.ts'

/** The target as one process uses it: its URL, its sessions, and the embedded server where there is one. */
export interface TargetSession extends AsyncDisposable {
  readonly url: string
  /** For people, without a secret. */
  readonly server: string
  /** Control rows, introspection, DDL. */
  readonly connection: Connection
  /** Keeps the advisory lock of the holder. */
  readonly lock: Connection
  readonly control: Control
  connect(purpose: string): Connection
  /** Ends every session at once. */
  cut(): void
}

/** Resolves `embedded` to a running server; opens no session yet. */
export async function openTarget(config: Config, onLog: (line: string) => void): Promise<TargetSession> {
  const embedded =
    config.postgresUrl === 'embedded'
      ? await openEmbedded({ dir: join(config.stateDir, 'postgres'), database: 'slipway', onLog })
      : undefined
  const url = embedded?.url ?? config.postgresUrl
  const holder = crypto.randomUUID()
  let opened: Connection[] = []
  const connect = (purpose: string): Connection => {
    opened = opened.filter((each) => !each.closed)
    const connection = new Connection(url, sessionName(holder, purpose))
    opened.push(connection)
    return connection
  }
  const connection = connect('control')
  return {
    url,
    server: describeServer(url),
    connection,
    lock: connect('lock'),
    control: new Control(connection, config.migrationName, holder),
    connect,
    cut: () => {
      for (const each of opened) each.cut()
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(opened.map((each) => each.close()))
      await embedded?.stop()
    },
  }
}
