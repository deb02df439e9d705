/** The composition root: the one place that knows every part. */
import { runCli } from './cli/program.ts'
import type { Work } from './cli/work.ts'
import { runDemo } from './demo/demo.ts'
import { openEmbedded } from './postgres/embedded.ts'
import { checkFile, openReader, readFacts } from './sqlite/open.ts'
import { assess } from './wiring/assess.ts'
import { createDaemon } from './wiring/daemon.ts'
import { copyOnce } from './wiring/once.ts'
import { recover } from './wiring/recover.ts'
import { rehearse } from './wiring/rehearsal.ts'
import { replay } from './wiring/replay.ts'
import { printSchema } from './wiring/schema-sql.ts'
import { takeSnapshot } from './wiring/snapshot.ts'
import { uninstall } from './wiring/uninstall.ts'

const work: Work = {
  assess,
  snapshot: (config, options) => (options.once ? copyOnce(config, options) : takeSnapshot(config, options)),
  rehearse,
  schemaSql: printSchema,
  daemon: createDaemon,
  journalMode: async (config) => {
    checkFile(config.sqlitePath)
    const reader = openReader(config.sqlitePath)
    try {
      return readFacts(reader, config.sqlitePath).journalMode
    } finally {
      reader.close()
    }
  },
  uninstall,
  recover,
  replay,
  demo: (options) => runDemo({ ...options, openEmbedded }),
}

/** Runs one command line and resolves with its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  return await runCli(work, argv)
}
