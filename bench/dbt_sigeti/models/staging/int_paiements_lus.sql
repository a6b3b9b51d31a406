WITH texte AS (
    SELECT *, translate(montant_saisi, U&', \00a0\202f', '.') AS montant_texte
    FROM {{ source('sigeti', 'paiements') }}
    WHERE deleted_at IS NULL)
SELECT id AS paiement_id, facture_id,
       CASE WHEN montant_texte ~ '^-?[0-9]+(\.[0-9]+)?$' THEN montant_texte::numeric END AS montant,
       mode::text AS mode_paiement, date_paiement, updated_at AS modifie_le
FROM texte
