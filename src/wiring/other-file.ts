import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { ControlState } from '../postgres/control-state.ts'
import { readControl, refuseOtherOwner } from '../sqlite/capture.ts'
import { openReader } from '../sqlite/open.ts'

/** The name of a migration comes from the file's name: another file of that name must not take the target over. */
export function refuseOtherFile(
  { sqlitePath, migrationName }: Pick<Config, 'sqlitePath' | 'migrationName'>,
  control: ControlState,
  owner: string,
): void {
  const reader = openReader(sqlitePath)
  try {
    const noted = readControl(reader)
    refuseOtherOwner(sqlitePath, noted, owner)
    if (control.phase === 'new' || noted !== undefined || control.source === sqlitePath) return
    throw new Failure({
      code: 'source_other_file',
      message: `the migration "${migrationName}" moves ${control.source}, and ${sqlitePath} is another file`,
      remedy: `Give this one a name of its own (MIGRATION_NAME=${migrationName}_2) and another POSTGRES_SCHEMA, or end the other: slipway uninstall`,
    })
  } finally {
    reader.close()
  }
}
