// CSV as psql's \copy reads it, gzip'd the same way each time (no name, no date in the header).
import { writeFileSync } from 'node:fs'
import { gzipSync, constants } from 'node:zlib'

// An absent value is an empty field, which COPY reads as NULL; an empty string is "", which it
// reads as an empty string (the source has some: the arrondissement of the communes of Mayotte).
const field = v => {
  if (v === undefined || v === null) return ''
  const s = String(v)
  return s === '' || /[",\n\r]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s
}

export function writeCsv (path, columns, rows) {
  const lines = [columns.join(','), ...rows.map(r => columns.map(c => field(r[c])).join(','))]
  const gz = gzipSync(lines.join('\n') + '\n', { level: 9, memLevel: 9, strategy: constants.Z_DEFAULT_STRATEGY })
  gz[9] = 255 // operating system byte: "unknown", so that the file does not depend on the machine
  writeFileSync(path, gz)
  console.log(`  ${path.split('/').pop()}: ${rows.length} rows, ${gz.length} bytes`)
}

// Byte order of the codes, whatever the locale.
export const by = (...keys) => (a, b) => {
  for (const k of keys) {
    const x = String(a[k] ?? ''); const y = String(b[k] ?? '')
    if (x < y) return -1
    if (x > y) return 1
  }
  return 0
}
