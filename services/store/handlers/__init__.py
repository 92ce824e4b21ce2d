"""The store's edges: `follow` leads or stands by, `batch` turns deliveries into rows, `hints` tells gateways,
`questions` answers, `progress` is what they share."""
