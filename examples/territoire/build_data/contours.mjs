// Contours of the départements: GeoJSON into CSV with WKT, coordinates rounded to 5 decimals
// (some 1 m, far below the simplification of the contours themselves; at 4, one of them crosses itself). Points that fall on
// the one before are dropped; two départements round a shared border alike, so it stays shared.
import { readFileSync } from 'node:fs'
import { writeCsv, by } from './csv.mjs'

const [from, to] = process.argv.slice(2)

const ring = points => {
  const out = []
  for (const [x, y] of points) {
    const p = `${+x.toFixed(5)} ${+y.toFixed(5)}`
    if (p !== out.at(-1)) out.push(p)
  }
  if (out[0] !== out.at(-1)) throw new Error('ring is not closed')
  return out.length < 4 ? null : `(${out.join(',')})`
}
const polygon = rings => {
  const kept = rings.map(ring)
  return kept[0] === null ? null : `(${kept.filter(r => r !== null).join(',')})`
}

const rows = JSON.parse(readFileSync(from, 'utf8')).features.map(({ properties, geometry }) => {
  const parts = geometry.type === 'MultiPolygon' ? geometry.coordinates : [geometry.coordinates]
  return {
    code: properties.code,
    nom: properties.nom,
    wkt: `MULTIPOLYGON(${parts.map(polygon).filter(p => p !== null).join(',')})`
  }
})
writeCsv(to, ['code', 'nom', 'wkt'], rows.sort(by('code')))
