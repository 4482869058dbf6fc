-- one row for the nation: customer files, and how many of them matched the chip's biometrics
select
    'kyc_biometric_rate' as indicator_code,
    'nation' as area_level,
    'VN' as area_code,
    count(*) filter (where biometric_match = 'matched') as numerator,
    count(*) as denominator
from {{ month(ref('fct_bank_kyc')) }} as customer_files
