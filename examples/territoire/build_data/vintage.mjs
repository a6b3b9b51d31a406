// One vintage: the package's JSON files into four CSV files. Columns are those of the source,
// under snake_case names; nothing is corrected here (that is the warehouse's work), but:
//  - the EPCI of a commune, which the source gives as a list of members in epci.json, becomes
//    a column of the commune;
//  - chef_lieu is the commune that a "commune déléguée", "commune associée" or "arrondissement
//    municipal" belongs to (two properties in the source: chefLieu and commune);
//  - postal codes, SIREN and former codes are left out.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeCsv, by } from './csv.mjs'

const [year, from, to] = process.argv.slice(2)
const read = name => JSON.parse(readFileSync(join(from, name), 'utf8'))

const communes = read('communes.json')
const epci = read('epci.json')

const epciOf = new Map()
for (const e of epci) {
  for (const m of e.membres) {
    if (epciOf.has(m.code)) throw new Error(`commune ${m.code} is in two EPCI: ${epciOf.get(m.code)} and ${e.code}`)
    epciOf.set(m.code, e.code)
  }
}

writeCsv(join(to, `communes-${year}.csv.gz`),
  ['code', 'nom', 'type', 'chef_lieu', 'arrondissement', 'departement', 'region', 'collectivite_outremer', 'epci', 'population'],
  communes.map(c => ({
    code: c.code,
    nom: c.nom,
    type: c.type,
    chef_lieu: c.chefLieu ?? c.commune,
    arrondissement: c.arrondissement,
    departement: c.departement,
    region: c.region,
    collectivite_outremer: c.collectiviteOutremer?.code,
    epci: c.type === 'commune-actuelle' ? epciOf.get(c.code) : undefined,
    population: c.population
  })).sort(by('code', 'type', 'chef_lieu')))

writeCsv(join(to, `epci-${year}.csv.gz`),
  ['code', 'nom', 'type', 'mode_financement', 'population_totale', 'population_municipale'],
  epci.map(e => ({
    code: e.code,
    nom: e.nom,
    type: e.type,
    mode_financement: e.modeFinancement,
    population_totale: e.populationTotale,
    population_municipale: e.populationMunicipale
  })).sort(by('code')))

const place = d => ({ code: d.code, nom: d.nom, region: d.region, chef_lieu: d.chefLieu, zone: d.zone })

writeCsv(join(to, `departements-${year}.csv.gz`), ['code', 'nom', 'region', 'chef_lieu', 'zone'],
  read('departements.json').map(place).sort(by('code')))
writeCsv(join(to, `regions-${year}.csv.gz`), ['code', 'nom', 'chef_lieu', 'zone'],
  read('regions.json').map(place).sort(by('code')))
