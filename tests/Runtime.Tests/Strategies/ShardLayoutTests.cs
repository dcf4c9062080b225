using CsCheck;

namespace DistTrain.Runtime.Tests;

/// <summary>Every element has one owner, and a rank's part can be told from sizes alone.</summary>
public sealed class ShardLayoutTests
{
    private static readonly Gen<(long[] Counts, int[] Modules, int Ranks, long Capacity, long First)> s_models =
        Gen.Select(Gen.Long[1, 700].Array[1, 30], Gen.Int[1, 9], Gen.Long[1, 3000], Gen.Long[1, 3000], Gen.Int[1, 4])
            .Select((counts, ranks, capacity, first, perModule) => (counts, counts.Select((_, i) => i / perModule).ToArray(), ranks, capacity, first));

    [Fact]
    public void Every_element_of_every_parameter_belongs_to_one_rank() => s_models.Sample(model =>
    {
        ShardLayout layout = ShardLayout.Create(model.Counts, model.Modules, model.Ranks, model.Capacity, model.First);
        int[][] owners = [.. model.Counts.Select(count => new int[count])];
        for (int rank = 0; rank < model.Ranks; rank++)
            foreach (OwnedRange range in layout.OwnedBy(rank))
                for (long i = 0; i < range.ElementCount; i++) owners[range.Parameter][range.First + i]++;
        return owners.All(parameter => parameter.All(count => count == 1));
    });

    [Fact]
    public void A_rank_has_at_most_one_part_of_a_parameter_and_its_parts_do_not_overlap() => s_models.Sample(model =>
    {
        ShardLayout layout = ShardLayout.Create(model.Counts, model.Modules, model.Ranks, model.Capacity, model.First);
        return Enumerable.Range(0, model.Ranks).All(rank =>
        {
            OwnedRange[] owned = [.. layout.OwnedBy(rank)];
            return owned.DistinctBy(range => range.Parameter).Count() == owned.Length
                && owned.GroupBy(range => range.Unit).All(unit => unit.OrderBy(range => range.FirstInSlice).Aggregate((long?)0, (end, range) => range.FirstInSlice >= end ? range.FirstInSlice + range.ElementCount : null) <= layout.Units[unit.Key].ElementCount / model.Ranks);
        });
    });

    [Fact]
    public void Slices_are_equal_whole_lines_and_padding_is_bounded() => s_models.Sample(model =>
    {
        ShardLayout layout = ShardLayout.Create(model.Counts, model.Modules, model.Ranks, model.Capacity, model.First);
        return layout.Units.All(unit => unit.ElementCount % (16L * model.Ranks) == 0 && unit.Members.All(member => member.First % 16 == 0))
            && layout.ElementCount < model.Counts.Sum() + (15L * model.Counts.Length) + (16L * model.Ranks * layout.Units.Count);
    });

    [Fact]
    public void Units_hold_whole_modules_in_reverse_order_and_no_more_than_they_may() => s_models.Sample(model =>
    {
        ShardLayout layout = ShardLayout.Create(model.Counts, model.Modules, model.Ranks, model.Capacity, model.First);
        int[] order = [.. layout.Units.SelectMany(unit => unit.Members).Select(member => member.Parameter)];
        return order.SequenceEqual(Enumerable.Range(0, model.Counts.Length).Reverse())
            && layout.Units.SelectMany((unit, u) => unit.Members.Select(member => (Module: model.Modules[member.Parameter], Unit: u))).Distinct().GroupBy(place => place.Module).All(places => places.Count() == 1)
            && layout.Units.Select((unit, u) => (unit, u)).All(place => place.unit.Members.Select(member => model.Modules[member.Parameter]).Distinct().Count() == 1
                || place.unit.Members[^1].First + place.unit.Members[^1].ElementCount <= (place.u == 0 ? Math.Min(model.First, model.Capacity) : model.Capacity));
    });
}
