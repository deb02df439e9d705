import { Command } from 'commander'
import { ensureToken } from '../../api/token.ts'
import type { Config } from '../../core/config.ts'
import { maskUrl } from '../../core/secrets.ts'
import { ServiceGroup } from '../../runtime/service.ts'
import { version } from '../../version.ts'
import { action, type Context, consentsToWal, given, interruptible, prepare } from '../context.ts'
import { commandLine } from '../format.ts'
import { DAEMON_SETTINGS, helpText } from '../help.ts'
import { combine, logObserver } from '../observers.ts'
import { CopyProgress } from '../progress.ts'

interface Options {
  readonly enableWal?: boolean
  readonly backup: boolean
}

const STOP_MS = 10_000
const EXAMPLES = ['slipway start', 'slipway start --enable-wal ./news.db postgres://news@localhost/news']

export function startCommand(context: Context): Command {
  const command = new Command('start')
    .summary('replicate, and serve the API, until SIGTERM')
    .description(
      'The daemon: goes on wherever the last run stopped, snapshot included, keeps PostgreSQL equal to SQLite, ' +
        'and serves the control API. SIGTERM or Ctrl-C stops it; nothing is lost by kill -9 either.',
    )
    .argument('[sqlite]', 'database file; default: SQLITE_PATH')
    .argument('[postgres]', 'target URL, or "embedded"; default: POSTGRES_URL')
    .option('--enable-wal', 'switch the file to WAL mode where it is not')
    .option('--no-backup', 'where the snapshot is still to be made: without a backup of the file')
    .addHelpText('after', helpText(EXAMPLES, DAEMON_SETTINGS))
  return action(
    command,
    context,
    (sqlite: string | undefined, postgres: string | undefined, options: Options) =>
      run(context, given(sqlite, postgres), options),
  )
}

async function run(context: Context, positionals: readonly string[], options: Options): Promise<number> {
  const { work, terminal } = context
  const { config, logger } = prepare(context, { positionals })
  const token = config.controlToken ?? (await ensureToken(config.stateDir))
  terminal.protect({ postgresUrl: config.postgresUrl, tokens: [token] })
  // The group has the deadline and says what did not stop; this one is behind it.
  using interruption = interruptible((text) => logger.warn(text), STOP_MS + 1000)
  const enableWal = await consentsToWal(context, config, options.enableWal === true, interruption.signal)

  // Loaded here: no other command needs a server.
  const [{ createApi }, { createMetrics }] = await Promise.all([
    import('../../api/server.ts'),
    import('../../metrics.ts'),
  ])
  const metrics = createMetrics()
  const { live, interactive, scrub } = terminal
  using progress = new CopyProgress({ live, interactive, logger })
  const observer = combine(logObserver(logger), progress, metrics.observer)
  const daemon = work.daemon(config, { enableWal, backup: options.backup, observer })
  metrics.bind(daemon.operator)
  const api = createApi({
    operator: daemon.operator,
    registry: metrics.registry,
    token,
    host: config.controlHost,
    port: config.controlPort,
    publicUrl: config.controlUrl,
    version: version(),
    logger,
    scrub,
  })
  const group = new ServiceGroup({
    name: 'slipway',
    deadlineMs: STOP_MS,
    services: [
      api,
      {
        name: 'daemon',
        start: () => {
          announce(context, config, api.url!, token)
          logger.info({ url: api.url }, 'listening')
          return daemon.start()
        },
        stop: () => daemon.stop(),
      },
    ],
  })
  const interrupted = interruption.received()
  daemon.failed.catch(() => {})
  const failures: unknown[] = []
  const failed = (error: unknown) => void failures.push(error)
  await Promise.race([group.start(), daemon.failed, interrupted])
    .then(() => Promise.race([daemon.failed, interrupted]))
    .catch(failed)
  await group.stop().catch(failed)
  live.pause()
  // What came later is a consequence.
  if (failures.length > 0) throw failures[0]
  logger.info('stopped')
  terminal.next(commandLine(terminal.env, 'start', ...positionals.map(maskUrl)), true)
  return 0
}

/** On a terminal the dashboard's address carries the token, in the fragment, which is never sent. */
function announce(
  { terminal }: Context,
  { controlHost, controlUrl, controlPort }: Config,
  bound: string,
  token: string,
) {
  const address = controlPort === 0 || controlHost === '127.0.0.1' ? bound : controlUrl
  terminal.reveal(`dashboard: ${address}/#token=${token}`)
}
