SELECT id AS demande_id, reference, entreprise_id, lot_id, type::text AS type_demande, statut::text AS statut,
       statut = 'APPROUVEE' AS est_approuvee, statut = 'REJETEE' AS est_rejetee, statut IN ('EN_ATTENTE', 'EN_COURS') AS est_en_instance,
       date_demande, date_decision
FROM {{ source('sigeti', 'demandes') }}
WHERE deleted_at IS NULL
