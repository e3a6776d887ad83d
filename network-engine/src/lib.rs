//! What the backends on database servers share: connections, transactions, migrations.
