using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// One row of the distillation loss in three passes over memory that stays in the first-level cache: the two maxima; the exponentials (kept in
/// scratch) with all sums; the gradient. With u = (s - max s) / T and v = (t - max t) / T the divergence is
/// Σ e^v (v - u) / Σ e^v + log (Σ e^u / Σ e^v): no probability is rounded before its logarithm, and equal rows give exactly 0.
/// Each pass is compiled on its own: inlined together they overflow the JIT's budget, and vector operators become calls.
/// </summary>
internal unsafe struct DistillationRow
{
    public int Columns;
    public float InverseTemperature;

    /// <summary>(1 - α) / rows: factor of softmax(s) - target.</summary>
    public float HardWeight;

    /// <summary>α T / rows: factor of softmax(s / T) - softmax(t / T).</summary>
    public float SoftWeight;

    /// <summary>The target's share on the label, and on every class besides (label smoothing).</summary>
    public float Hit;
    public float Rest;

    /// <summary>Gives cross-entropy (0 where label is below 0) and divergence; sets the gradient where it is not null. The gradient may be s.</summary>
    public readonly (double Hard, double Soft) Apply<V, THard>(float* gradient, float* s, float* t, int label, float* scratch)
        where V : unmanaged, ISimd<V> where THard : unmanaged, IHardExponentials
    {
        float maxS = SoftmaxRowSimd.Max<V>(s, Columns), maxT = SoftmaxRowSimd.Max<V>(t, Columns);
        Sums sums = Exponentials<V, THard>(s, t, maxS, maxT, scratch);
        double hard = 0;
        if (label >= 0)
        {
            hard = Math.Log(sums.Hard) - ((double)Hit * (s[label] - maxS));
            if (Rest > 0f) hard -= (double)Rest * SoftmaxRowSimd.SumBelow<V>(s, Columns, maxS);
        }
        double soft = ((double)sums.Cross / sums.Teacher) + Math.Log((double)sums.Student / sums.Teacher);
        if (gradient == null) return (hard, soft);
        if (SoftWeight == 0f) HardGradient<V, THard>(gradient, sums.Hard, scratch);
        else if (HardWeight == 0f) Gradient<V, NoHardPart>(gradient, sums, scratch);
        else Gradient<V, THard>(gradient, sums, scratch);
        if (label >= 0) gradient[label] -= Hit * HardWeight;
        return (hard, soft);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private readonly Sums Exponentials<V, THard>(float* s, float* t, float maxS, float maxT, float* scratch)
        where V : unmanaged, ISimd<V> where THard : unmanaged, IHardExponentials
    {
        int stride = RowScratch.Padded(Columns);
        V topS = V.Broadcast(maxS), topT = V.Broadcast(maxT), scale = V.Broadcast(InverseTemperature);
        V students = V.Zero, teachers = V.Zero, hards = V.Zero, crosses = V.Zero;
        int i = 0;
        for (; i <= Columns - V.Count; i += V.Count)
        {
            SoftmaxRowSimd.Prefetch<V>(s + i, Columns);
            SoftmaxRowSimd.Prefetch<V>(t + i, Columns);
            V logit = V.Load(s + i) - topS, u = logit * scale, v = (V.Load(t + i) - topT) * scale;
            Step<V, THard>(logit, u, v, scratch + i, stride, ref students, ref teachers, ref hards, ref crosses);
        }
        if (i < Columns)
        {
            // Lanes beyond the row are masked classes; scratch rows are padded to whole vectors.
            V logit = V.LoadPartial(s + i, Columns - i, float.NegativeInfinity) - topS, u = logit * scale;
            V v = (V.LoadPartial(t + i, Columns - i, float.NegativeInfinity) - topT) * scale;
            Step<V, THard>(logit, u, v, scratch + i, stride, ref students, ref teachers, ref hards, ref crosses);
        }
        return new Sums { Student = V.Sum(students), Teacher = V.Sum(teachers), Hard = V.Sum(hards), Cross = V.Sum(crosses) };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<V, THard>(V logit, V u, V v, float* scratch, int stride, ref V students, ref V teachers, ref V hards, ref V crosses)
        where V : unmanaged, ISimd<V> where THard : unmanaged, IHardExponentials
    {
        V student = SimdMath.ExpNonPositive(u), teacher = SimdMath.ExpNonPositive(v), hard = THard.From(student, logit);
        V.Store(student, scratch);
        V.Store(teacher, scratch + stride);
        if (THard.AreKept) V.Store(hard, scratch + (2 * stride));
        students += student;
        teachers += teacher;
        hards += hard;
        // A class without a share adds nothing, even where u or v is -infinity.
        crosses += V.Select(V.EqualTo(teacher, V.Zero), V.Zero, teacher * (v - u));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private readonly void Gradient<V, THard>(float* gradient, in Sums sums, float* scratch)
        where V : unmanaged, ISimd<V> where THard : unmanaged, IHardExponentials
    {
        int stride = RowScratch.Padded(Columns);
        V student = V.Broadcast(SoftWeight / sums.Student), teacher = V.Broadcast(SoftWeight / sums.Teacher);
        V hard = V.Broadcast(HardWeight / sums.Hard), rest = V.Broadcast(-HardWeight * Rest);
        for (int i = 0; i < Columns; i += V.Count)
        {
            V e = V.Load(scratch + i);
            // Two rounded products, no fused one: equal rows must cancel exactly.
            V value = (e * student) - (V.Load(scratch + stride + i) * teacher);
            if (typeof(THard) != typeof(NoHardPart))
            {
                V own = THard.AreKept ? V.Load(scratch + (2 * stride) + i) : THard.From(e, e);
                value += V.MultiplyAdd(own, hard, rest);
            }
            if (i <= Columns - V.Count) V.Store(value, gradient + i);
            else V.StorePartial(value, gradient + i, Columns - i);
        }
    }

    /// <summary>α = 0: the soft part adds nothing, not even NaN.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private readonly void HardGradient<V, THard>(float* gradient, float sum, float* scratch)
        where V : unmanaged, ISimd<V> where THard : unmanaged, IHardExponentials
    {
        int stride = RowScratch.Padded(Columns);
        V hard = V.Broadcast(HardWeight / sum), rest = V.Broadcast(-HardWeight * Rest);
        for (int i = 0; i < Columns; i += V.Count)
        {
            V own = THard.AreKept ? V.Load(scratch + (2 * stride) + i) : THard.From(V.Load(scratch + i), V.Zero);
            V value = V.MultiplyAdd(own, hard, rest);
            if (i <= Columns - V.Count) V.Store(value, gradient + i);
            else V.StorePartial(value, gradient + i, Columns - i);
        }
    }

    private struct Sums
    {
        public float Student;
        public float Teacher;
        public float Hard;
        public float Cross;
    }
}
