/** The command line around the fixture's work, as `FIXTURE` tells it in JSON: a process as the real one is. */
import { runCli } from '../../src/cli/program.ts'
import { type Fixture, fixtureWork } from './fixture-work.ts'

const fixture = JSON.parse(process.env.FIXTURE ?? '{}') as Fixture
process.exitCode = await runCli(fixtureWork(fixture), process.argv)
setTimeout(() => process.exit(), 2000).unref()
