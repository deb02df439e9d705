import type { Finding } from '../finding.ts'
import type { FileFacts, SourceSurvey } from './inputs.ts'

/** What is to be said of the file and of its tables' pages. */
export function sourceFindings({ file, inventory, checks }: SourceSurvey, maxWalBytes: number): Finding[] {
  return [
    ...fileFindings(file, maxWalBytes),
    ...(inventory.tables.length === 0
      ? [
          {
            code: 'nothing_to_move',
            severity: 'blocks' as const,
            message: 'the file has no table to move',
            remedy: 'Name the file that the application really uses, and check TABLES and EXCLUDE_TABLES.',
          },
        ]
      : []),
    ...inventory.tables.flatMap((table) => damage(table.name, checks.get(table.name)?.damage ?? [])),
  ]
}

function* fileFindings(file: FileFacts, maxWalBytes: number): Iterable<Finding> {
  if (file.journalMode !== 'wal') {
    yield {
      code: 'journal_not_wal',
      severity: 'warns',
      message: `the file is in journal mode ${file.journalMode}, in which a reader blocks the application's writes`,
      remedy: 'slipway snapshot --enable-wal switches it to WAL; slipway uninstall brings the old mode back.',
    }
  }
  if (file.writerBug !== undefined) {
    yield {
      code: 'wal_reset_bug',
      severity: 'warns',
      message: file.writerBug,
      remedy: "Update the application's SQLite.",
    }
  }
  if (file.walBytes > maxWalBytes) {
    yield {
      code: 'wal_large',
      severity: 'warns',
      message: `the -wal file has ${Math.round(file.walBytes / 1e6)} MB: some connection keeps a read transaction open, or checkpoints are off`,
      remedy: 'Find the long reader; MAX_WAL_MB is the size above which slipway itself stands back.',
    }
  }
  if (file.encoding !== 'UTF-8') {
    yield {
      code: 'encoding_utf16',
      severity: 'info',
      message: `text is kept in ${file.encoding}; PostgreSQL gets it in UTF-8, where each character is the same`,
    }
  }
  if (file.userVersion !== '0') {
    yield {
      code: 'user_version',
      severity: 'info',
      message: `PRAGMA user_version is ${file.userVersion}: if the application counts its migrations by it, tell PostgreSQL in its own way`,
    }
  }
  yield {
    code: 'total_changes',
    severity: 'info',
    message:
      'while slipway captures, sqlite3_total_changes() counts its rows too; changes() and last_insert_rowid() stay as they are',
  }
  yield {
    code: 'application_pragmas',
    severity: 'info',
    message:
      'an application that sets journal_mode to another mode, or locking_mode to EXCLUSIVE, fails or waits while slipway is connected',
  }
}

/** `NULL value in t.c` and the like are no damage: the values are told with their column. */
function damage(table: string, lines: readonly string[]): Finding[] {
  const broken = lines.filter((line) => !/^\S+ value in /.test(line))
  if (broken.length === 0) return []
  return [
    {
      code: 'damaged',
      severity: 'blocks',
      table,
      examples: broken.slice(0, 3),
      message: `SQLite's own check finds damage: ${broken[0]}`,
      remedy: "Restore a backup, or rescue the file with sqlite3 FILE '.recover'; REINDEX mends an index.",
    },
  ]
}
