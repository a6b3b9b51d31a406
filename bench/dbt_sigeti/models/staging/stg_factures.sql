SELECT id AS facture_id, numero, entreprise_id, demande_id, objet, montant_ttc, date_emission, date_echeance, statut::text AS statut
FROM {{ source('sigeti', 'factures') }}
WHERE deleted_at IS NULL
