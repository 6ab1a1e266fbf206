/**
 * What the cache's scales are calibrated on, and its loss measured with: a little of everything that a workplace writes.
 * Self-made, so that no licence travels with a compiled model. The last texts are held out: only they are scored.
 */
export const CALIBRATION_TEXTS: readonly string[] = [
  `Minutes of the weekly planning meeting, 14 March. Present: Amara, Jonas, Li Wei, Priya. Jonas reported that the import of
supplier invoices now takes four minutes instead of twenty, since the duplicate check runs once per batch. Priya asked for the
rollout to wait until the finance team has compared two full weeks. Decision: the rollout moves to Monday 25 March. Action items:
Jonas writes the comparison script by Thursday; Li Wei informs the branch offices; Amara prepares a short note for the board.`,
  `def moving_average(values, window):
    """Yield the mean of each window of consecutive values."""
    total = 0.0
    for index, value in enumerate(values):
        total += value
        if index >= window:
            total -= values[index - window]
        if index >= window - 1:
            yield total / window

for mean in moving_average([3, 5, 8, 13, 21], 2):
    print(f"{mean:.2f}")`,
  `Dear Ms Okafor, thank you for your request of 3 June to extend your parental leave by six weeks. Under section 4.2 of the leave
policy an extension is possible where it is asked for at least eight weeks before the return date and the team can be covered.
Both hold in your case, so the extension is approved; your new return date is 2 September. Your health insurance goes on without
a change. Please confirm by e-mail, and tell us whether you would like to work part-time during the first month. Kind regards.`,
  `Once upon a time there was a small lighthouse keeper who lived with a grey cat at the end of a long pier. Every evening she
climbed one hundred and twelve steps, lit the lamp, and wrote the names of the passing ships in a blue book. One night the fog
was so thick that the light could not be seen, so she opened the window and began to sing. Far out on the water a fisherman heard
her, turned his boat towards the song, and came home safely. "You have a fine voice," said the cat, who never spoke again.`,
  `Q: What is the boiling point of water at sea level, in Celsius and Fahrenheit?
A: 100 degrees Celsius, which is 212 degrees Fahrenheit.
Q: A train leaves at 09:45 and arrives at 13:20. How long is the journey?
A: Three hours and thirty-five minutes.
{"order": 48213, "items": [{"sku": "KB-104", "qty": 2, "price": 39.90}, {"sku": "MS-7", "qty": 1, "price": 24.50}], "paid": true}
会议改到星期五下午三点。请把最新的报告发给所有人，谢谢。 Die Lieferung verzögert sich um zwei Tage; wir bitten um Verständnis.`,
  `[10:02] dana: the staging database is read only since the upgrade, can someone look?
[10:04] marcus: on it. The disk is full, old backups were never removed.
[10:09] marcus: freed 40 GB, writes work again. I'll add an alert at 80 %.
[10:11] dana: thanks! Tests are green. Should we move the backups to object storage?
[10:12] marcus: yes, I'll write a proposal until tomorrow noon.
Summary: the staging database had stopped accepting writes because old backups filled its disk. Marcus removed them, will add an
alert at 80 percent, and proposes by tomorrow noon to keep backups in object storage instead.`,
];

/** So many from the end are for measuring the loss, the others for the scales. */
export const HELD_OUT_TEXTS = 2;
