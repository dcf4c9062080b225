namespace DistTrain.Kernels;

/// <summary>
/// A vector of f32 lanes. Kernels are written once over this interface and compiled for each width. Comparisons give lanes of all ones or
/// all zeros, for <see cref="Select"/>. Min and Max give the second operand where either is NaN (x86) or NaN (ARM): only a NaN in the second
/// operand is sure to stay.
/// </summary>
internal unsafe interface ISimd<TSelf> where TSelf : unmanaged, ISimd<TSelf>
{
    /// <summary>Lanes.</summary>
    static abstract int Count { get; }

    static abstract TSelf Zero { get; }

    static abstract TSelf Broadcast(float value);

    static abstract TSelf Load(float* source);

    /// <summary>Loads the first <paramref name="count"/> lanes and sets the others to <paramref name="rest"/>; never reads beyond them.</summary>
    static abstract TSelf LoadPartial(float* source, int count, float rest);

    /// <summary>The upper 24 bits of each random word as a fraction: a multiple of 2^-24 in [0, 1), exact.</summary>
    static abstract TSelf LoadFractions(uint* words);

    static abstract void Store(TSelf value, float* destination);

    /// <summary>Stores past the caches, to an address aligned to the vector: for results too large to be read back from a cache.</summary>
    static abstract void StoreNonTemporal(TSelf value, float* destination);

    /// <summary>Stores the first <paramref name="count"/> lanes; never writes beyond them.</summary>
    static abstract void StorePartial(TSelf value, float* destination, int count);

    /// <summary>Stores lanes that hold integers as i32.</summary>
    static abstract void StoreIntegers(TSelf value, int* destination);

    /// <summary>Lanes 0, 2, 4, ... of first and second, one after the other.</summary>
    static abstract TSelf EvenLanes(TSelf first, TSelf second);

    /// <summary>Lanes 1, 3, 5, ... of first and second, one after the other.</summary>
    static abstract TSelf OddLanes(TSelf first, TSelf second);

    static abstract TSelf operator +(TSelf left, TSelf right);

    static abstract TSelf operator -(TSelf left, TSelf right);

    static abstract TSelf operator *(TSelf left, TSelf right);

    static abstract TSelf operator /(TSelf left, TSelf right);

    static abstract TSelf operator -(TSelf value);

    /// <summary>left * right + addend, rounded once on every instruction set.</summary>
    static abstract TSelf MultiplyAdd(TSelf left, TSelf right, TSelf addend);

    static abstract TSelf Min(TSelf left, TSelf right);

    static abstract TSelf Max(TSelf left, TSelf right);

    static abstract TSelf Abs(TSelf value);

    static abstract TSelf Sqrt(TSelf value);

    /// <summary>Rounds to the nearest integer, ties to even.</summary>
    static abstract TSelf Round(TSelf value);

    static abstract TSelf GreaterThan(TSelf left, TSelf right);

    static abstract TSelf LessThan(TSelf left, TSelf right);

    static abstract TSelf EqualTo(TSelf left, TSelf right);

    static abstract TSelf Select(TSelf mask, TSelf whenSet, TSelf whenClear);

    /// <summary>value * 2^exponent for integral exponents in -126 to 127, by adding to the exponent bits of 1.</summary>
    static abstract TSelf PowerOfTwo(TSelf exponent);

    /// <summary>
    /// The number whose exponent field is the low eight bits of the value's own bits: 2^n where a float was rounded to 1.5 * 2^23 + 127 + n,
    /// and 0 for n = -127. The cheapest way from a rounded exponent to its power.
    /// </summary>
    static abstract TSelf ExponentFromLowBits(TSelf value);

    /// <summary>The unbiased exponent of a positive normal number, as a float.</summary>
    static abstract TSelf Exponent(TSelf value);

    /// <summary>The significand of a positive normal number, in [1, 2).</summary>
    static abstract TSelf Significand(TSelf value);

    /// <summary>The sum of all lanes, halves added pairwise: a fixed order for a given width.</summary>
    static abstract float Sum(TSelf value);

    static abstract float MaxLane(TSelf value);

    static abstract float MinLane(TSelf value);
}

/// <summary>A CPU kernel: a struct of pointers and sizes whose items the thread team runs with a vector width chosen at run time.</summary>
internal interface ISimdKernel
{
    void Run<TVector>(int item) where TVector : unmanaged, ISimd<TVector>;
}
