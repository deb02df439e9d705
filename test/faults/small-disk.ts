/** A folder on a small file system of its own, which can be filled to the last byte. Needs root: see `mount`. */
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export class SmallDisk implements AsyncDisposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** Undefined where this user may not mount: then the folder is an ordinary one. */
  static async mount(
    path: string,
    megabytes: number,
    say: (line: string) => void,
  ): Promise<SmallDisk | undefined> {
    mkdirSync(path, { recursive: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0755`, 'slipway-checker', path])
      return new SmallDisk(path)
    } catch (error) {
      say(`skipped: no disk can be filled, since mount fails (${String((error as Error).message).trim()})`)
      return undefined
    }
  }

  /** Leaves nothing. */
  async fill(): Promise<void> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const { bavail, bsize } = statfsSync(this.path)
      if (bavail === 0) return
      await run('fallocate', ['-l', String(bavail * bsize), join(this.path, `filler-${attempt}`)]).catch(
        () => {},
      )
    }
  }

  empty(): void {
    for (let attempt = 0; attempt < 3; attempt++)
      rmSync(join(this.path, `filler-${attempt}`), { force: true })
  }

  /** What lies on it stays in the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.empty()
    const kept = `${this.path}.kept`
    await run('cp', ['-a', this.path, kept]).catch(() => {})
    await run('umount', ['-l', this.path]).catch(() => {})
    await run('cp', ['-a', `${kept}/.`, this.path]).catch(() => {})
    rmSync(kept, { recursive: true, force: true })
  }
}
