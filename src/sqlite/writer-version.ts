import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Bytes 96 to 99 of the header: SQLITE_VERSION_NUMBER of the library that wrote the file last. */
const READ_VERSION = `
  const file = require('node:fs').openSync(process.argv[1], 'r')
  const bytes = Buffer.alloc(4)
  require('node:fs').readSync(file, bytes, 0, 4, 96)
  console.log(bytes.readUInt32BE())`

/** The SQLite library that wrote a file last. */
export interface WriterVersion {
  /** e.g. `3.40.1`. */
  readonly version: string
  /** It has the WAL-reset bug (trap C21), which can damage a file that several connections use. */
  readonly walResetBug: boolean
}

/**
 * Undefined where the file does not say. The header is read by another process: opening and closing the file here,
 * past SQLite, would drop SQLite's locks (trap H7).
 */
export async function lastWriter(path: string): Promise<WriterVersion | undefined> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', READ_VERSION, path], {
      timeout: 5_000,
    })
    const version = Number(stdout)
    if (!Number.isInteger(version) || version < 3_007_000) return undefined
    // Fixed in 3.51.3, 3.50.7 and 3.44.6.
    const fixed =
      version >= 3_051_003 ||
      (version >= 3_050_007 && version < 3_051_000) ||
      (version >= 3_044_006 && version < 3_045_000)
    const shown = `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1000) % 1000}.${version % 1000}`
    return { version: shown, walResetBug: !fixed }
  } catch {
    return undefined
  }
}

/** A warning where the application's SQLite has the WAL-reset bug. */
export function walResetWarning({ version, walResetBug }: WriterVersion): string | undefined {
  if (!walResetBug) return undefined
  return `the file was last written by SQLite ${version}, which has the WAL-reset bug (rare damage with several connections); 3.51.3, 3.50.7 and 3.44.6 are free of it`
}

export async function warnOfOldWriter(path: string): Promise<string | undefined> {
  const writer = await lastWriter(path)
  return writer && walResetWarning(writer)
}
