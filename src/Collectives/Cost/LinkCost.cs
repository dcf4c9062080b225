namespace DistTrain.Collectives;

/// <summary>What sending a message costs, by the alpha-beta model (R. Hockney, 1994): alpha + beta bytes, and gamma for each byte that is added up.</summary>
/// <param name="Alpha">Seconds a message.</param>
/// <param name="Beta">Seconds a byte on its way.</param>
/// <param name="Gamma">Seconds a byte added.</param>
public readonly record struct LinkCost(double Alpha, double Beta, double Gamma = 0)
{
    /// <summary>Seconds that one message takes.</summary>
    public double OfMessage(double bytes, bool reduces) => Alpha + (bytes * (Beta + (reduces ? Gamma : 0)));
}
