"""Every flow once, as coroutines over the ports; both faces run these. No asyncio, threads, clock or chance in here."""
