/** `npm run migrate [down]`: the application's migrations, on the engine that `DATABASE_URL` names. */
import { Failure, messageOf } from '../core/errors.ts'
import { openKnex, parseDatabaseUrl } from './connection.ts'
import { migrateApp, unmigrateApp } from './migrate.ts'

async function run(direction: string | undefined): Promise<void> {
  if (direction !== undefined && direction !== 'up' && direction !== 'down') {
    throw usage(`"${direction}" is not a direction.`, 'Write nothing (up) or down.')
  }
  const url = process.env.DATABASE_URL
  if (url === undefined || url === '')
    throw usage('DATABASE_URL is not set.', 'Set it, or write it into .env.')
  const database = openKnex(parseDatabaseUrl(url))
  try {
    const names = direction === 'down' ? await unmigrateApp(database) : await migrateApp(database)
    const verb = direction === 'down' ? 'taken back' : 'run'
    console.log(names.length === 0 ? `Nothing to be ${verb}.` : `Migrations ${verb}: ${names.join(', ')}`)
  } finally {
    await database.destroy()
  }
}

function usage(message: string, remedy: string): Failure {
  return new Failure({ code: 'usage', message, remedy, exit: 2 })
}

try {
  process.loadEnvFile()
} catch {
  // No .env: the environment alone.
}
try {
  await run(process.argv[2])
} catch (error) {
  console.error(messageOf(error))
  if (error instanceof Failure && error.remedy !== undefined) console.error(error.remedy)
  process.exitCode = error instanceof Failure ? error.exit : 1
}
