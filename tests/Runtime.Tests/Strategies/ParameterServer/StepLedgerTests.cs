using CsCheck;

namespace DistTrain.Runtime.Tests;

public sealed class StepLedgerTests
{
    [Fact]
    public void Every_step_is_done_once_whatever_workers_do() => Gen.Select(Gen.Int[0, 40], Gen.Int[0, 5].Array[0, 300]).Sample((count, acts) =>
    {
        StepLedger ledger = new();
        Dictionary<string, long> taken = [];
        List<long> done = [];
        Random random = new(count + acts.Length);
        foreach (int act in acts.Concat(Enumerable.Repeat(0, 10 * (count + 1))))
        {
            string worker = $"worker {random.Next(4)}";
            if (!taken.Remove(worker, out long step))
            {
                step = ledger.Take(worker, count);
                if (step >= 0) taken.Add(worker, step);
            }
            else if (act == 1)
            {
                ledger.Return(step);
            }
            else
            {
                Assert.True(ledger.IsOpenTo(worker, step));
                Assert.False(ledger.IsOpenTo("a stranger", step));
                ledger.Finish(step);
                ledger.MarkDone(step);
                done.Add(step);
            }
        }
        foreach (long step in taken.Values)
        {
            ledger.Finish(step);
            ledger.MarkDone(step);
            done.Add(step);
        }
        Assert.Equal(Enumerable.Range(0, count).Select(step => (long)step), done.Order());
        Assert.Equal((count, count, 0), (ledger.Floor, ledger.DoneCount, ledger.TakenCount));
        Assert.True(ledger.IsExhausted(count));
    });

    [Fact]
    public void Steps_come_in_ascending_order_and_those_given_back_first()
    {
        StepLedger ledger = new();
        Assert.Equal([0, 1, 2], [ledger.Take("a", 9), ledger.Take("b", 9), ledger.Take("c", 9)]);
        ledger.Return(1);
        Assert.Equal([1, 3], [ledger.Take("d", 9), ledger.Take("e", 9)]);
    }

    [Fact]
    public void A_ledger_restored_gives_out_what_was_not_done()
    {
        StepLedger ledger = new();
        ledger.Restore(3, [4, 5, 7]);
        Assert.Equal(6, ledger.DoneCount);
        Assert.Equal([3, 6, 8, -1], [ledger.Take("a", 9), ledger.Take("b", 9), ledger.Take("c", 9), ledger.Take("d", 9)]);
        Assert.True(ledger.IsExhausted(9));
    }
}
