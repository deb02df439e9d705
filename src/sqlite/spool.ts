import { closeSync, mkdirSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../core/errors.ts'
import type { CopyRows } from '../core/ports.ts'

/** Encoded rows up to here stay in memory; a larger batch goes to a file. */
const MEMORY_BYTES = 16 * 1024 * 1024
const READ_BYTES = 1024 * 1024

/**
 * Where a batch waits between the end of the read transaction and the write to the target: the source must
 * not be held while the target is slow (trap H14), and a batch may be larger than memory.
 */
export class Spool implements Disposable {
  readonly #folder: string
  #memoryBytes = 0
  #file: number | undefined
  #fileBytes = 0
  readonly #memory = new Set<Buffer[]>()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** A section collects the lines of one purpose; sections are written one after the other. */
  section(): SpoolSection {
    const blocks: Buffer[] = []
    this.#memory.add(blocks)
    return new SpoolSection(
      (block) => this.#put(blocks, block),
      (extent) => this.#readFile(extent),
      blocks,
    )
  }

  #put(blocks: Buffer[], block: Buffer): Extent | undefined {
    if (this.#memoryBytes + block.length <= MEMORY_BYTES) {
      this.#memoryBytes += block.length
      blocks.push(block)
      return undefined
    }
    try {
      return this.#toFile(block)
    } catch (cause) {
      throw new Failure({
        code: 'state_dir_full',
        policy: 'transient',
        message: `a batch of ${Math.ceil((this.#fileBytes + block.length) / 1e6)} MB does not fit into ${this.#folder} (${(cause as Error).message})`,
        remedy: 'Free space there, or name another folder: STATE_DIR=/path; slipway tries again.',
        cause,
      })
    }
  }

  #toFile(block: Buffer): Extent {
    if (this.#file === undefined) {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
      const path = join(
        this.#folder,
        `spool-${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`,
      )
      this.#file = openSync(path, 'wx+', 0o600)
      // Unlinked at once: the space is given back however this process ends.
      unlinkSync(path)
    }
    const extent = { offset: this.#fileBytes, length: block.length }
    for (let written = 0; written < block.length; ) {
      written += writeSync(this.#file, block, written, block.length - written, this.#fileBytes + written)
    }
    this.#fileBytes += block.length
    return extent
  }

  *#readFile(extent: Extent): Iterable<Buffer> {
    if (this.#file === undefined) throw new Error('the spool is closed')
    for (let offset = 0; offset < extent.length; offset += READ_BYTES) {
      const block = Buffer.alloc(Math.min(READ_BYTES, extent.length - offset))
      const read = readSync(this.#file, block, 0, block.length, extent.offset + offset)
      if (read !== block.length) throw new Error('the spool file is shorter than what was written')
      yield block
    }
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    for (const blocks of this.#memory) blocks.length = 0
  }
}

interface Extent {
  readonly offset: number
  readonly length: number
}

/** Lines of one table and purpose, readable again for a second attempt. */
export class SpoolSection implements CopyRows {
  readonly #put: (block: Buffer) => Extent | undefined
  readonly #readFile: (extent: Extent) => Iterable<Buffer>
  readonly #blocks: Buffer[]
  readonly #extents: Extent[] = []
  rows = 0
  bytes = 0

  constructor(
    put: (block: Buffer) => Extent | undefined,
    readFile: (extent: Extent) => Iterable<Buffer>,
    blocks: Buffer[],
  ) {
    this.#put = put
    this.#readFile = readFile
    this.#blocks = blocks
  }

  add(block: Buffer, rows: number): void {
    if (block.length === 0) return
    const extent = this.#put(block)
    if (extent !== undefined) this.#extents.push(extent)
    this.rows += rows
    this.bytes += block.length
  }

  *read(): Iterable<Buffer> {
    yield* this.#blocks
    for (const extent of this.#extents) yield* this.#readFile(extent)
  }
}
