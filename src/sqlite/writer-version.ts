import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Bytes 96 to 99 of the header: SQLITE_VERSION_NUMBER of the library that wrote the file last. */
const READ_VERSION = `
  const file = require('node:fs').openSync(process.argv[1], 'r')
  const bytes = Buffer.alloc(4)
  require('node:fs').readSync(file, bytes, 0, 4, 96)
  console.log(bytes.readUInt32BE())`

/**
 * A warning where the application's SQLite has the WAL-reset bug (trap C21), which can damage a file that several
 * connections use; fixed in 3.51.3, 3.50.7 and 3.44.6. The header is read by another process: opening and closing
 * the file here, past SQLite, would drop SQLite's locks (trap H7).
 */
export async function warnOfOldWriter(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', READ_VERSION, path], {
      timeout: 5_000,
    })
    const version = Number(stdout)
    const fixed =
      version >= 3_051_003 ||
      (version >= 3_050_007 && version < 3_051_000) ||
      (version >= 3_044_006 && version < 3_045_000)
    if (!Number.isInteger(version) || version < 3_007_000 || fixed) return undefined
    const shown = `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1000) % 1000}.${version % 1000}`
    return `the file was last written by SQLite ${shown}, which has the WAL-reset bug (rare damage with several connections); 3.51.3, 3.50.7 and 3.44.6 are free of it`
  } catch {
    return undefined
  }
}
